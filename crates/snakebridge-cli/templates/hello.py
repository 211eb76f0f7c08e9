"""Functions that src/main.rs calls."""


def greet(name: str, *, excited: bool = False) -> str:
    """Greets somebody."""
    if not name:
        raise ValueError("there is nobody to greet")
    return f"Hello, {name}{'!' if excited else '.'}"
