"""The method and the test that ``new-method`` copies, under another name.

They are real code, so that lint, types and tests keep them in step with the interface.
"""

import keyword
import re
from pathlib import Path

from harness.errors import HarnessError
from harness.paths import ROOT, shown

HERE = Path(__file__).parent
SHAPE = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
"""Names stand in paths and, with ``_`` for ``-``, in modules."""


def new_method(name: str, folder: Path | None = None) -> list[Path]:
    """Write ``NAME.py`` and its test; return both files. ``folder`` stands for one outside the repository.

    Raises:
        HarnessError: the name cannot be used, or one of the files is there already.
    """
    stem = name.replace("-", "_")
    _must_be_free(name, stem, folder)
    method, test = (
        (folder or ROOT / "baselines") / f"{stem}.py",
        (folder or ROOT / "tests") / f"test_{stem}.py",
    )
    if there := [shown(path) for path in (method, test) if path.exists()]:
        raise HarnessError(f"{', '.join(there)}: there already; nothing is overwritten, take another name")
    method.parent.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (method, _renamed("mine.py", name)),
        (test, _placed(_renamed("test_mine.py", name), name, folder is not None)),
    ):
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    return [method, test]


def _must_be_free(name: str, stem: str, folder: Path | None) -> None:
    from harness.methods.registry import broken_methods, method_names
    from harness.plan import catalogue

    if not SHAPE.fullmatch(name) or keyword.iskeyword(stem) or stem.startswith(("test_", "conftest")):
        expected = "expected small letters and digits, parted by - or _, and no word of Python's"
        raise HarnessError(f"method name {name!r}: {expected}")
    folders = (folder,) if folder and folder.is_dir() else ()
    taken = {*method_names(folders), *broken_methods(folders), *catalogue.variant_names(folders)}
    if near := sorted({name, stem, stem.replace("_", "-")} & taken):
        raise HarnessError(f"method name {name!r}: there is a method or variant {near[0]!r} already")


def _renamed(file: str, name: str) -> str:
    """Return a file of this folder with the method called ``name``."""
    title = "".join(part.capitalize() for part in re.split("[-_]", name))
    text = (HERE / file).read_text(encoding="utf-8")
    return re.sub(r"\bmine\b", name, re.sub(r"\bMine(?=\b|[A-Z])", title, text))


def _placed(test: str, name: str, outside: bool) -> str:
    """Return the test's text looking for the method beside itself, where it lies outside."""
    if not outside:
        return test
    test = test.replace("import pytest\n", "from pathlib import Path\n\nimport pytest\n", 1)
    return test.replace(f'method_class("{name}")', f'method_class("{name}", (Path(__file__).parent,))')
