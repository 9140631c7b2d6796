"""Finding methods: every file of ``baselines/`` and ``mat/`` that defines one. No registration."""

import importlib
import inspect
from functools import cache
from pathlib import Path

from harness.errors import HarnessError, unknown
from harness.methods.interface import Method
from harness.paths import ROOT

ROOMS = ("baselines", "mat")


@cache
def _discover() -> tuple[dict[str, type[Method]], dict[str, Exception]]:
    """Return the methods by name, and the files that could not be imported by their stem."""
    found: dict[str, type[Method]] = {}
    broken: dict[str, Exception] = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).glob("*.py")):
            if path.stem == "__init__":
                continue
            try:
                module = importlib.import_module(f"{room}.{path.stem}")
            except Exception as error:  # a broken file must not take the other methods with it
                broken[path.stem] = error
                continue
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if issubclass(kind, Method) and kind.__module__ == module.__name__:
                    if kind.name in found:
                        other = inspect.getfile(found[kind.name])
                        raise HarnessError(f"two methods are named {kind.name!r}: {other} and {path}")
                    found[kind.name] = kind
    return found, broken


def method_names() -> list[str]:
    """Return the names of all methods that can be used."""
    return sorted(_discover()[0])


def method_class(name: str) -> type[Method]:
    """Return the method ``name``.

    Raises:
        HarnessError: no such method (the valid names and the nearest are told), or its file is broken.
    """
    found, broken = _discover()
    if name in found:
        return found[name]
    if name in broken:
        raise HarnessError(
            f"method {name!r} cannot be imported: {type(broken[name]).__name__}: {broken[name]}"
        )
    raise HarnessError(unknown("method", name, found))


def method_file(name: str) -> Path:
    """Return the file that defines the method ``name``."""
    return Path(inspect.getfile(method_class(name)))
