"""Methods outside of the repository: in a folder of the user, or in an installed package."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support.experiments import toy_plan

from harness.cli import main
from harness.config import catalogue
from harness.methods import registry
from harness.methods.registry import broken_methods, method_class, method_names
from harness.runs.run_or_resume import run_or_resume
from harness.util.errors import ConfigErrors, HarnessError

METHOD = """
from harness.methods.interface import Method, PassCount
from .helper import scaled

class Outside(Method):
    name = "outside"
    summary = "vanilla, from elsewhere"
    citation = "none"

    @classmethod
    def passes(cls, arguments, regression=False):
        return PassCount(forward=1, backward=1, optimizer_steps=1)

    def gradient(self, model, batch):
        loss = scaled(model.loss(model(batch).logits, batch))
        model.backward(loss)
        return loss.detach()
"""
HELPER = '"""A helper."""\n\n\ndef scaled(loss):\n    return 2 * loss\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a method, what it imports, a broken file, and a test."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "outside.py").write_text(METHOD)
    (folder / "helper.py").write_text(HELPER)
    (folder / "half_done.py").write_text("import no_such_module\n")
    (folder / "test_outside.py").write_text("raise SystemExit('a test is not a method')\n")
    return folder


def test_a_folder_adds_its_methods(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "outside" in method_names((folder,)) and "outside" not in method_names()
    assert main(["methods", "--methods-dir", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "outside: vanilla, from elsewhere" in output
    assert "half_done: cannot be used:" in output and "No module named 'no_such_module'" in output


def test_runs_of_an_experiment_use_its_folders(folder: Path, tmp_path: Path) -> None:
    plan = toy_plan(tmp_path, variants=["vanilla", "outside"], methods_dirs=[str(folder)])
    assert run_or_resume(plan, plan.runs[1], threads=1).method == "outside"
    with pytest.raises(ConfigErrors, match="unknown variant 'outside'"):
        toy_plan(tmp_path, variants=["outside"])
    with pytest.raises(HarnessError, match=r"methods dir .*nowhere: no such folder"):
        toy_plan(tmp_path, variants=["vanilla"], methods_dirs=[str(tmp_path / "nowhere")])


def test_a_broken_file_is_an_error_only_if_it_is_used(folder: Path, tmp_path: Path) -> None:
    dirs = [str(folder)]
    assert toy_plan(tmp_path, variants=["outside"], methods_dirs=dirs).runs
    for name in ("half_done", "half-done"):
        with pytest.raises(HarnessError, match=r"cannot be used: .*half_done\.py: ModuleNotFoundError"):
            method_class(name, (folder,))
    with pytest.raises(ConfigErrors, match=r"variants.half_done: method 'half_done' cannot be used"):
        toy_plan(tmp_path, variants=["outside", "half_done"], methods_dirs=dirs)


def test_the_key_holds_the_source_of_a_method_outside_and_of_what_it_imports(
    folder: Path, tmp_path: Path
) -> None:
    def key() -> str:
        return toy_plan(tmp_path, variants=["outside"], methods_dirs=[str(folder)]).runs[0].key

    before = key()
    (folder / "helper.py").write_text(HELPER.replace("A helper.", "Other words.") + "# a comment\n")
    assert key() == before
    (folder / "helper.py").write_text(HELPER.replace("2 *", "3 *"))
    assert key() != before
    (folder / "helper.py").write_text(HELPER)
    assert key() == before
    (folder / "outside.py").write_text(METHOD.replace("loss = scaled", "loss = 2 * scaled"))
    assert key() != before


def test_the_path_of_a_folder_is_not_in_the_key(folder: Path, tmp_path: Path) -> None:
    first = toy_plan(tmp_path, variants=["outside"], methods_dirs=[str(folder)]).runs[0].key
    moved = folder.rename(tmp_path / "moved")
    assert toy_plan(tmp_path, variants=["outside"], methods_dirs=[str(moved)]).runs[0].key == first


def test_two_methods_with_one_name_are_refused_if_used(folder: Path) -> None:
    (folder / "again.py").write_text(METHOD)
    (folder / "mine.py").write_text(METHOD.replace('"outside"', '"freelb"'))
    assert "vanilla" in method_names((folder,)) and "freelb" not in method_names((folder,))
    for name in ("outside", "freelb"):
        with pytest.raises(HarnessError, match=r"two methods have this name: .*py and .*py"):
            method_class(name, (folder,))
    assert method_class("freelb").__module__ == "baselines.freelb"


def test_a_method_with_the_name_of_a_variant_is_refused(folder: Path) -> None:
    (folder / "outside.py").write_text(METHOD.replace('"outside"', '"lookahead"'))
    with pytest.raises(HarnessError, match="'lookahead' is a variant of mat, and a method: rename one"):
        catalogue.variant("lookahead", (folder,))


def test_an_installed_package_offers_methods(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = folder.rename(tmp_path / "somebodys")
    (package / "__init__.py").write_text("")
    points = [
        EntryPoint("outside", "somebodys.outside:Outside", registry.GROUP),
        EntryPoint("other", "somebodys.outside:Outside", registry.GROUP),
        EntryPoint("half", "somebodys.half_done:Half", registry.GROUP),
    ]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry._discover.cache_clear()
    try:
        assert {"outside", "half"} <= set(method_names()) and not broken_methods()
        assert "somebodys.half_done" not in sys.modules
        first = toy_plan(tmp_path, variants=["outside"]).runs[0].key
        (package / "helper.py").write_text(HELPER.replace("2 *", "3 *"))
        assert toy_plan(tmp_path, variants=["outside"]).runs[0].key != first
        with pytest.raises(HarnessError, match=r"'half' cannot be used: somebodys.half_done:Half of an"):
            method_class("half")
        with pytest.raises(HarnessError, match="expected a method of that name"):
            method_class("other")
    finally:
        registry._discover.cache_clear()


def test_the_conformance_kit_takes_methods_outside(folder: Path, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(
        "--pyargs", "harness.methods.conformance", "--methods-dir", str(folder), "--method", "outside",
        "-k", "declarations or nothing",
    )  # fmt: skip
    result.stdout.fnmatch_lines(["E*AssertionError: declare at least one limiting case"])
    result.assert_outcomes(passed=1, failed=1, deselected=16)
