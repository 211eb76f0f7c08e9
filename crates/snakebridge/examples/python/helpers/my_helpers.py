"""Helpers for the example `seed`."""

from __future__ import annotations


def process_data(values: list[int]) -> dict[str, int]:
    """Number and sum of some values."""
    return {"count": len(values), "total": sum(values)}
