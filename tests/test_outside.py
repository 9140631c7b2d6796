"""Methods that lie outside the repository: in a folder that is named, or in an installed package."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import toyplan

from harness.cli import main
from harness.errors import HarnessError, MistakesError
from harness.methods import registry
from harness.methods.registry import broken_methods, method_class, method_names
from harness.plan import catalogue
from harness.runs.execute import execute

METHOD = """
from harness.methods.interface import Method, Passes
from .helper import scaled

class Outside(Method):
    name = "outside"
    summary = "vanilla, from elsewhere"
    citation = "none"

    @classmethod
    def passes(cls, arguments, regression=False):
        return Passes(forward=1, backward=1, optimizer_steps=1)

    def gradient(self, model, batch):
        loss = scaled(model.loss(model(batch).logits, batch))
        model.backward(loss)
        return loss.detach()
"""
HELPER = '"""A helper."""\n\n\ndef scaled(loss):\n    return 2 * loss\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a method, what it imports, a file that is broken, and a test."""
    made = tmp_path / "mine"
    made.mkdir()
    (made / "outside.py").write_text(METHOD)
    (made / "helper.py").write_text(HELPER)
    (made / "half_done.py").write_text("import no_such_module\n")
    (made / "test_outside.py").write_text("raise SystemExit('a test is no method')\n")
    return made


def test_a_folder_that_is_named_adds_its_methods(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "outside" in method_names((folder,)) and "outside" not in method_names()
    assert main(["methods", "--methods-dir", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "outside: vanilla, from elsewhere" in told
    assert "half_done: cannot be used:" in told and "No module named 'no_such_module'" in told


def test_an_experiment_names_folders_and_its_runs_are_made(folder: Path, tmp_path: Path) -> None:
    plan = toyplan.plan(tmp_path, variants=["vanilla", "outside"], methods_dirs=[str(folder)])
    assert execute(plan, plan.runs[1], threads=1).method == "outside"
    with pytest.raises(MistakesError, match="unknown variant 'outside'"):
        toyplan.plan(tmp_path, variants=["outside"])
    with pytest.raises(HarnessError, match=r"methods dir .*nowhere: there is no such folder"):
        toyplan.plan(tmp_path, variants=["vanilla"], methods_dirs=[str(tmp_path / "nowhere")])


def test_a_broken_file_is_an_error_for_who_asks_for_it_alone(folder: Path, tmp_path: Path) -> None:
    dirs = [str(folder)]
    assert toyplan.plan(tmp_path, variants=["outside"], methods_dirs=dirs).runs
    for name in ("half_done", "half-done"):
        with pytest.raises(HarnessError, match=r"cannot be used: .*half_done\.py: ModuleNotFoundError"):
            method_class(name, (folder,))
    with pytest.raises(MistakesError, match=r"variants.half_done: method 'half_done' cannot be used"):
        toyplan.plan(tmp_path, variants=["outside", "half_done"], methods_dirs=dirs)


def test_the_key_holds_the_source_of_a_method_outside_and_of_what_it_imports(
    folder: Path, tmp_path: Path
) -> None:
    def key() -> str:
        return toyplan.plan(tmp_path, variants=["outside"], methods_dirs=[str(folder)]).runs[0].key

    before = key()
    (folder / "helper.py").write_text(HELPER.replace("A helper.", "Other words.") + "# a comment\n")
    assert key() == before
    (folder / "helper.py").write_text(HELPER.replace("2 *", "3 *"))
    assert key() != before
    (folder / "helper.py").write_text(HELPER)
    assert key() == before
    (folder / "outside.py").write_text(METHOD.replace("loss = scaled", "loss = 2 * scaled"))
    assert key() != before


def test_where_a_folder_lies_is_not_in_the_key(folder: Path, tmp_path: Path) -> None:
    first = toyplan.plan(tmp_path, variants=["outside"], methods_dirs=[str(folder)]).runs[0].key
    moved = folder.rename(tmp_path / "moved")
    assert toyplan.plan(tmp_path, variants=["outside"], methods_dirs=[str(moved)]).runs[0].key == first


def test_two_methods_of_one_name_are_refused_when_asked_for(folder: Path) -> None:
    (folder / "again.py").write_text(METHOD)
    (folder / "mine.py").write_text(METHOD.replace('"outside"', '"freelb"'))
    assert "vanilla" in method_names((folder,)) and "freelb" not in method_names((folder,))
    for name in ("outside", "freelb"):
        with pytest.raises(HarnessError, match=r"two methods have this name: .*py and .*py"):
            method_class(name, (folder,))
    assert method_class("freelb").__module__ == "baselines.freelb"


def test_a_method_that_has_a_variants_name_is_refused(folder: Path) -> None:
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
        first = toyplan.plan(tmp_path, variants=["outside"]).runs[0].key
        (package / "helper.py").write_text(HELPER.replace("2 *", "3 *"))
        assert toyplan.plan(tmp_path, variants=["outside"]).runs[0].key != first
        with pytest.raises(HarnessError, match=r"'half' cannot be used: somebodys.half_done:Half of an"):
            method_class("half")
        with pytest.raises(HarnessError, match="expected a method of that name"):
            method_class("other")
    finally:
        registry._discover.cache_clear()


def test_the_conformance_kit_takes_methods_outside(folder: Path, pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess(
        "--pyargs", "harness.methods.conformance", "--methods-dir", str(folder), "--method", "outside",
        "-k", "declarations or nothing",
    )  # fmt: skip
    done.stdout.fnmatch_lines(["E*AssertionError: declare at least one limiting case"])
    done.assert_outcomes(passed=1, failed=1, deselected=14)
