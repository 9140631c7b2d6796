"""The method and the test that ``new-method`` copies under another name.

They are real code, so lint, types and tests keep them in line with the interface.
"""

import keyword
import re
from collections.abc import Collection
from pathlib import Path

from harness.methods.registry import broken_methods, method_names
from harness.util.errors import HarnessError
from harness.util.paths import ROOT, display_path

HERE = Path(__file__).parent
SHAPE = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
"""Names are parts of paths and, with ``_`` for ``-``, names of modules."""


def new_method(name: str, folder: Path | None, variants: Collection[str]) -> tuple[Path, Path]:
    """Write ``NAME.py`` and its test; return both paths.

    ``folder`` is outside of the repository; None for ``baselines/`` and ``tests/unit/``. ``variants`` are
    names that are taken.

    Raises:
        HarnessError: the name cannot be used, or one of the files exists.
    """
    stem = name.replace("-", "_")
    _check_name(name, stem, folder, variants)
    method = (folder or ROOT / "baselines") / f"{stem}.py"
    test = (folder or ROOT / "tests" / "unit") / f"test_{stem}.py"
    if existing := [display_path(path) for path in (method, test) if path.exists()]:
        raise HarnessError(f"{', '.join(existing)}: exists; nothing is overwritten, use another name")
    method.parent.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (method, _renamed("mine.py", name)),
        (test, _placed(_renamed("test_mine.py", name), name, folder is not None)),
    ):
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    return method, test


def _check_name(name: str, stem: str, folder: Path | None, variants: Collection[str]) -> None:
    if not SHAPE.fullmatch(name) or keyword.iskeyword(stem) or stem.startswith(("test_", "conftest")):
        raise HarnessError(
            f"method name {name!r}: expected lower-case letters and digits, separated by - or _, and not a "
            "Python keyword"
        )
    folders = (folder,) if folder and folder.is_dir() else ()
    taken = {*method_names(folders), *broken_methods(folders), *variants}
    if same := sorted({name, stem, stem.replace("_", "-")} & taken):
        raise HarnessError(f"method name {name!r}: the method or variant {same[0]!r} exists")


def _renamed(file: str, name: str) -> str:
    """Return a file of this folder with the method called ``name``."""
    title = "".join(part.capitalize() for part in re.split("[-_]", name))
    text = (HERE / file).read_text(encoding="utf-8")
    return re.sub(r"\bmine\b", name, re.sub(r"\bMine(?=\b|[A-Z])", title, text))


def _placed(test: str, name: str, outside: bool) -> str:
    """Return the text of the test. Outside of the repository it finds the method in its own folder."""
    if not outside:
        return test
    test = test.replace("import pytest\n", "from pathlib import Path\n\nimport pytest\n", 1)
    return test.replace(f'method_class("{name}")', f'method_class("{name}", (Path(__file__).parent,))')
