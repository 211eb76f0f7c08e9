"""What a worker can say of the Python that it runs on, for `snakebridge doctor`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Parts of the standard library that a Python may have been built, or packaged, without.
_OPTIONAL = ("bz2", "ctypes", "ensurepip", "lzma", "sqlite3", "ssl", "venv", "zlib")


def facts(modules: list[str]) -> dict[str, Any]:
    """All of it, as plain values."""
    return {
        "version": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "has_gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "missing_folders": _missing_folders(),
        "shadowed": _shadowed(),
        "missing_modules": [name for name in _OPTIONAL if _error_of(name) is not None],
        "site_packages": _site_packages(),
        "is_site_writable": os.access(_site_packages() or "", os.W_OK),
        "is_externally_managed": _is_externally_managed(),
        "imports": [_imported(name) for name in modules],
    }


def _missing_folders() -> list[str]:
    """Folders that somebody has put on the module path, and that are not there."""
    listed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [folder for folder in listed if folder and not os.path.exists(folder)]


def _shadowed() -> list[dict[str, str]]:
    """Files that are found in the place of modules of the standard library."""
    names = getattr(sys, "stdlib_module_names", frozenset(sys.builtin_module_names))
    standard = os.path.dirname(os.__file__)
    out = []
    for folder in sys.path:
        if os.path.realpath(folder) == os.path.realpath(standard):
            break
        try:
            entries = sorted(os.listdir(folder))
        except OSError:
            continue  # A zip file, or nothing at all.
        for entry in entries:
            name, ending = os.path.splitext(entry)
            file = os.path.join(folder, entry)
            is_module = ending == ".py" or os.path.isfile(os.path.join(file, "__init__.py"))
            if is_module and name in names and name not in sys.builtin_module_names:
                out.append({"name": name, "file": file})
    return out


def _error_of(name: str) -> str | None:
    """What happens when a module is imported; nothing, if all goes well."""
    from importlib import import_module

    try:
        import_module(name)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


def _imported(name: str) -> dict[str, Any]:
    error = _error_of(name)
    module = sys.modules.get(name)
    version = getattr(module, "__version__", None)
    return {
        "name": name,
        "error": error,
        "is_missing": error is not None and _is_missing(name),
        "version": version if isinstance(version, str) else None,
        "file": getattr(module, "__file__", None),
    }


def _is_missing(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name.partition(".")[0]) is None
    except (ImportError, ValueError):
        return True


def _site_packages() -> str | None:
    import sysconfig

    return sysconfig.get_paths().get("purelib")


def _is_externally_managed() -> bool:
    """Whether pip refuses to install into it, as in Debian's own Python."""
    import sysconfig

    folder = sysconfig.get_path("stdlib")
    is_environment = sys.prefix != sys.base_prefix
    return not is_environment and os.path.exists(os.path.join(folder, "EXTERNALLY-MANAGED"))
