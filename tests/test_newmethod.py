"""``new-method`` writes a method and a test that hold at once, wherever they are put."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from copies import copy_of_the_repository

from harness.errors import HarnessError
from harness.template import new_method


def run(folder: Path, *command: str) -> str:
    """Run a module of Python in ``folder`` with the code that lies there."""
    there = {"PYTHONPATH": f"{folder / 'workflow'}:{folder}", "MYPYPATH": "workflow"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=os.environ | there, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with a new method in it, and another one in a folder of its own."""
    made = copy_of_the_repository(tmp_path_factory.mktemp("clone"))
    told = run(made, "harness", "new-method", "calm-down")
    assert "baselines/calm_down.py: the method" in told and "tests/test_calm_down.py: its test" in told
    run(made, "harness", "new-method", "calm", "--methods-dir", "elsewhere")
    return made


FILES = ["baselines/calm_down.py", "tests/test_calm_down.py", "elsewhere/calm.py", "elsewhere/test_calm.py"]


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


def test_the_lists_know_them(clone: Path) -> None:
    told = run(clone, "harness", "methods", "--methods-dir", "elsewhere")
    assert "\ncalm: task loss under random noise" in told and "\ncalm-down: " in told
    assert "size             0.001" in told


@pytest.mark.parametrize(
    "name", ["Calm", "2calm", "calm.down", "../calm", "class", "test-me", "calm--down", ""]
)
def test_names_that_cannot_be_used_are_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="expected small letters and digits"):
        new_method(name, tmp_path)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["freelb", "smart_mtdnn", "r_drop", "lookahead"])
def test_names_that_are_taken_are_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"there is a method or variant .* already"):
        new_method(name, tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_calm.py").write_text("kept")
    with pytest.raises(HarnessError, match=r"test_calm\.py: there already"):
        new_method("calm", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_calm.py"]
