"""Lists of dotted names, each of which stands for itself and for all that is in it."""

from __future__ import annotations


def covers(rules: list[str], name: str) -> bool:
    """Whether a name, or something that it is in, is on the list."""
    return any(name == rule or name.startswith(f"{rule}.") for rule in rules)
