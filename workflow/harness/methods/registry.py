"""Finding methods, without registration.

Every file of ``baselines/`` and ``mat/`` that defines one; every file of a folder that is named
(``--methods-dir``, or ``methods_dirs`` of an experiment); and what installed packages offer under the
entry point group ``mat_harness.methods``, as ``NAME = "package.module:Class"``.
"""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from harness.errors import HarnessError, unknown
from harness.methods.interface import Method
from harness.paths import ROOT, shown

ROOMS = ("baselines", "mat")
GROUP = "mat_harness.methods"
Folders = tuple[Path, ...]
"""Folders with method files of one's own, looked through after ``baselines/`` and ``mat/``."""


@dataclass
class _Found:
    """Methods by name, and why others cannot be used."""

    methods: dict[str, type[Method] | EntryPoint] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, method: type[Method] | EntryPoint, place: str) -> None:
        """Take a method in; two of one name are both refused, since nobody can tell which is meant."""
        if name in self.places:
            self.methods.pop(name, None)
            self.broken[name] = f"two methods have this name: {self.places[name]} and {place}"
        else:
            self.methods[name], self.places[name] = method, place


def method_names(folders: Folders = ()) -> list[str]:
    """Return the names of all methods that can be asked for."""
    return sorted(_found(folders).methods)


def broken_methods(folders: Folders = ()) -> dict[str, str]:
    """Return why other methods cannot be used, by name (where a file fails, by the file's)."""
    return dict(sorted(_found(folders).broken.items()))


def method_class(name: str, folders: Folders = ()) -> type[Method]:
    """Return the method ``name``.

    Raises:
        HarnessError: no such method (the valid names and the nearest are told), or it cannot be used.
    """
    found = _found(folders)
    if name in found.methods:
        method = found.methods[name]
        return method if isinstance(method, type) else _loaded(method)
    for key in (name, name.replace("-", "_")):
        if key in found.broken:
            raise HarnessError(f"method {name!r} cannot be used: {found.broken[key]}")
    failed = f"; not usable: {', '.join(found.broken)}" if found.broken else ""
    raise HarnessError(unknown("method", name, found.methods) + failed)


def method_source(kind: type[Method]) -> tuple[Path, dict[str, Path]]:
    """Return the file that defines a method, and the folder of each package whose files belong to it."""
    packages = {room: ROOT / room for room in ROOMS}
    top = sys.modules[kind.__module__.partition(".")[0]]
    for folder in getattr(top, "__path__", []):
        packages[top.__name__] = Path(folder)
    return Path(inspect.getfile(kind)), packages


def _found(folders: Folders) -> _Found:
    return _discover(tuple(dict.fromkeys(folder.resolve() for folder in folders)))


@cache
def _discover(folders: Folders) -> _Found:
    found = _Found()
    for module, path in _files(folders):
        try:
            kinds = _methods_of(importlib.import_module(module))
        except Exception as error:  # a broken file must not take the other methods with it
            found.broken[path.stem] = f"{shown(path)}: {type(error).__name__}: {error}"
            continue
        for kind in kinds:
            found.add(kind.name, kind, shown(path))
    for point in entry_points(group=GROUP):  # imported when it is asked for
        found.add(point.name, point, f"{point.value} of an installed package")
    return found


def _files(folders: Folders) -> Iterator[tuple[str, Path]]:
    """Yield the module name and the path of every file that may define methods.

    Raises:
        HarnessError: a folder is not there.
    """
    packages = {ROOT / room: room for room in ROOMS}
    for folder in folders:
        if not folder.is_dir():
            raise HarnessError(f"methods dir {shown(folder)}: there is no such folder")
        packages.setdefault(folder, "")
    for folder, package in packages.items():
        for path in sorted(folder.glob("*.py")):
            if not path.stem.startswith(("_", "test_", "conftest")):
                yield f"{package or _package(folder)}.{path.stem}", path


def _package(folder: Path) -> str:
    """Return the name of a package whose modules are the files of ``folder``.

    They see one another by relative imports alone, which the run key follows.
    """
    name = f"methods_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    package = sys.modules.setdefault(name, ModuleType(name, f"Methods of {folder}."))
    package.__path__ = [str(folder)]
    return name


def _methods_of(module: ModuleType) -> list[type[Method]]:
    """Return the methods that a module defines; a class named ``_Something`` is a base of others."""
    kinds = [
        kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Method) and kind.__module__ == module.__name__ and not name.startswith("_")
    ]
    for kind in kinds:
        if not isinstance(getattr(kind, "name", None), str):
            raise TypeError(f"class {kind.__name__} declares no name")
    return kinds


def _loaded(point: EntryPoint) -> type[Method]:
    """Return the method of an entry point.

    Raises:
        HarnessError: it cannot be imported, or is no method of that name.
    """
    where = f"method {point.name!r} cannot be used: {point.value} of an installed package"
    try:
        kind = point.load()
    except Exception as error:
        raise HarnessError(f"{where}: {type(error).__name__}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Method) and kind.name == point.name):
        raise HarnessError(f"{where}: expected a method of that name, got {kind!r}")
    return kind
