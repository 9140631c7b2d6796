"""The methods, found without registration.

Methods are the classes in the files of ``baselines/`` and ``mat/``, in those of folders that the user gives
(``--methods-dir``, or ``methods_dirs`` of an experiment), and in installed packages with the entry point
group ``mat_harness.methods``, as ``NAME = "package.module:Class"``.
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

from harness.methods.interface import Method
from harness.util.errors import HarnessError, unknown
from harness.util.paths import ROOT, display_path

PACKAGES = ("baselines", "mat")
GROUP = "mat_harness.methods"
Folders = tuple[Path, ...]
"""Folders with custom methods, in addition to ``baselines/`` and ``mat/``."""


@dataclass
class _Methods:
    """Methods by name, and why others cannot be used."""

    usable: dict[str, type[Method] | EntryPoint] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, method: type[Method] | EntryPoint, source: str) -> None:
        """Add a method; two methods with the same name are ambiguous, so both are refused."""
        if name in self.sources:
            self.usable.pop(name, None)
            self.broken[name] = f"two methods have this name: {self.sources[name]} and {source}"
        else:
            self.usable[name], self.sources[name] = method, source


def method_names(folders: Folders = ()) -> list[str]:
    """Return the names of all methods that can be used."""
    return sorted(_methods(folders).usable)


def broken_methods(folders: Folders = ()) -> dict[str, str]:
    """Return why other methods cannot be used, by name (or by file, if the file cannot be imported)."""
    return dict(sorted(_methods(folders).broken.items()))


def method_class(name: str, folders: Folders = ()) -> type[Method]:
    """Return the method ``name``.

    Raises:
        HarnessError: the name is unknown (the message has the valid names), or the method cannot be used.
    """
    methods = _methods(folders)
    if name in methods.usable:
        method = methods.usable[name]
        return method if isinstance(method, type) else _load(method)
    for key in (name, name.replace("-", "_")):
        if key in methods.broken:
            raise HarnessError(f"method {name!r} cannot be used: {methods.broken[key]}")
    broken = f"; not usable: {', '.join(methods.broken)}" if methods.broken else ""
    raise HarnessError(unknown("method", name, methods.usable) + broken)


def method_source(kind: type[Method]) -> tuple[Path, dict[str, Path]]:
    """Return the file that defines a method, and the packages (name to folder) that its source may import."""
    packages = {name: ROOT / name for name in PACKAGES}
    top = sys.modules[kind.__module__.partition(".")[0]]
    for folder in getattr(top, "__path__", []):
        packages[top.__name__] = Path(folder)
    return Path(inspect.getfile(kind)), packages


def _methods(folders: Folders) -> _Methods:
    return _discover(tuple(dict.fromkeys(folder.resolve() for folder in folders)))


@cache
def _discover(folders: Folders) -> _Methods:
    methods = _Methods()
    for module, path in _files(folders):
        try:
            kinds = _methods_of(importlib.import_module(module))
        except Exception as error:  # a broken file must not make the other methods unusable
            methods.broken[path.stem] = f"{display_path(path)}: {type(error).__name__}: {error}"
            continue
        for kind in kinds:
            methods.add(kind.name, kind, display_path(path))
    for point in entry_points(group=GROUP):  # imported only if the method is used
        methods.add(point.name, point, f"{point.value} of an installed package")
    return methods


def _files(folders: Folders) -> Iterator[tuple[str, Path]]:
    """Yield the module name and the path of every file that may define methods.

    Raises:
        HarnessError: a folder does not exist.
    """
    packages = {ROOT / name: name for name in PACKAGES}
    for folder in folders:
        if not folder.is_dir():
            raise HarnessError(f"methods dir {display_path(folder)}: no such folder")
        packages.setdefault(folder, "")
    for folder, package in packages.items():
        for path in sorted(folder.glob("*.py")):
            if not path.stem.startswith(("_", "test_", "conftest")):
                yield f"{package or _package(folder)}.{path.stem}", path


def _package(folder: Path) -> str:
    """Return the name of a package whose modules are the files of ``folder``.

    Its files can import each other only by relative imports, which the run key follows.
    """
    name = f"methods_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    package = sys.modules.setdefault(name, ModuleType(name, f"Methods of {folder}."))
    package.__path__ = [str(folder)]
    return name


def _methods_of(module: ModuleType) -> list[type[Method]]:
    """Return the methods that a module defines; a class named ``_Something`` is a base class of others."""
    kinds = [
        kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Method) and kind.__module__ == module.__name__ and not name.startswith("_")
    ]
    for kind in kinds:
        if not isinstance(getattr(kind, "name", None), str):
            raise TypeError(f"class {kind.__name__} declares no name")
    return kinds


def _load(point: EntryPoint) -> type[Method]:
    """Return the method of an entry point.

    Raises:
        HarnessError: it cannot be imported, or is not a method of that name.
    """
    prefix = f"method {point.name!r} cannot be used: {point.value} of an installed package"
    try:
        kind = point.load()
    except Exception as error:
        raise HarnessError(f"{prefix}: {type(error).__name__}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Method) and kind.name == point.name):
        raise HarnessError(f"{prefix}: expected a method of that name, got {kind!r}")
    return kind
