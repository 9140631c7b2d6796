"""``new-method`` writes a method and a test that pass all checks, inside and outside of the repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.clones import copy_of_the_repository

from harness.config import catalogue
from harness.methods.template import new_method
from harness.util.errors import HarnessError


def run(folder: Path, *command: str) -> str:
    """Run a Python module in ``folder`` with the code of that folder."""
    environment = os.environ | {"PYTHONPATH": f"{folder / 'workflow'}:{folder}", "MYPYPATH": "workflow"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with a new method, and another one in a separate folder."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("clone"))
    output = run(folder, "harness", "new-method", "calm-down")
    assert "baselines/calm_down.py: the method" in output
    assert "tests/unit/test_calm_down.py: its test" in output
    run(folder, "harness", "new-method", "calm", "--methods-dir", "elsewhere")
    return folder


FILES = [
    "baselines/calm_down.py",
    "tests/unit/test_calm_down.py",
    "elsewhere/calm.py",
    "elsewhere/test_calm.py",
]


def test_both_files_pass_lint_and_types(clone: Path) -> None:
    run(clone, "ruff", "check", *FILES)
    run(clone, "ruff", "format", "--check", *FILES)
    run(clone, "mypy", *FILES[::2])
    assert 40 <= len((clone / FILES[0]).read_text().splitlines()) <= 80


@pytest.mark.parametrize(
    "arguments", [["calm-down"], ["calm", "--methods-dir", "elsewhere", "-k", "declarations or limiting"]]
)
def test_the_conformance_kit_passes(clone: Path, arguments: list[str]) -> None:
    kit = ["--pyargs", "harness.methods.conformance", "-p", "no:cacheprovider"]
    assert "passed" in run(clone, "pytest", *kit, "--method", *arguments)


def test_their_tests_pass(clone: Path) -> None:
    assert "4 passed" in run(clone, "pytest", "-p", "no:cacheprovider", *FILES[1::2])


def test_harness_methods_lists_them(clone: Path) -> None:
    output = run(clone, "harness", "methods", "--methods-dir", "elsewhere")
    assert "\ncalm: task loss under random noise" in output and "\ncalm-down: " in output
    assert "size             0.001" in output


@pytest.mark.parametrize(
    "name", ["Calm", "2calm", "calm.down", "../calm", "class", "test-me", "calm--down", ""]
)
def test_names_that_cannot_be_used_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="expected lower-case letters and digits"):
        new_method(name, tmp_path, ())
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["freelb", "smart_mtdnn", "r_drop", "lookahead"])
def test_names_that_are_taken_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"the method or variant .* exists"):
        new_method(name, tmp_path, catalogue.variant_names())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_calm.py").write_text("kept")
    with pytest.raises(HarnessError, match=r"test_calm\.py: exists"):
        new_method("calm", tmp_path, ())
    assert [path.name for path in tmp_path.iterdir()] == ["test_calm.py"]
