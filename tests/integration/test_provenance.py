"""From a number back to its runs, and a run again: explain, verify, bundle, merge, reference, plan."""

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from support.experiments import toy_plan
from support.fake_runs import plant

from harness.plan.plan import Plan, write_plan
from harness.report.bundle import make_bundle, merge_bundle
from harness.report.explain import explanation
from harness.report.reference import FOLDER, make_reference, reference_folder, render_reference
from harness.results.export import EXPORTED, export
from harness.results.frame import build_frame
from harness.runs import history
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import FAILED, run_or_resume
from harness.runs.verify import compare, run_of, verify
from harness.tables.build import make_tables, write_tables
from harness.util.errors import HarnessError
from harness.util.paths import ROOT

REFERENCES = sorted(path.parent for path in FOLDER.glob("*/plan.json"))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    made = toy_plan(tmp_path, variants=["vanilla", "freelb"], seeds=[1, 2])
    write_plan(made)
    return made


def finish(plan: Plan) -> None:
    """Plant every run, and export."""
    for run in plan.runs:
        plant(plan, run, 0.5 + run.seed / 10, curve=[(1, 0.5), (2, 0.6)])
    export(plan)


def test_explain_names_runs_scores_configuration_commit_and_hashes(plan: Plan, tmp_path: Path) -> None:
    plant(plan, plan.runs[2], 0.71, contamination="its card says so")
    log = RunFolder(plan.run_folder(plan.runs[3])).next_attempt()
    log.write_text(f"{FAILED}MemoryError: none left\n")
    (tmp_path / "old").mkdir()
    settings = {**plan.experiment.settings, "epochs": 2}
    old = replace(toy_plan(tmp_path / "old", variants=["freelb"], settings=settings), results=plan.results)
    plant(old, old.runs[0], 0.9)
    text = explanation(plan, plan.runs[2].cell)
    for part in (
        "rotten_tomatoes/tiny/freelb in toy",
        f"seed 1  ok  validation accuracy 0.7100  key {plan.runs[2].key[:8]}",
        "commit      c0ffee" + "0" * 34 + ", clean",
        "hashes      weights 0000000000000000, tokens",
        "flags       contamination: its card says so",
        "seed 2  failed: MemoryError: none left",
        "protocol honest: epochs 3 -> 1; batch_size 32 -> 8; max_length 128 -> 16",
        "method freelb, from its defaults: unchanged",
        "protocol of vanilla: the same",
        f"superseded: {old.run_folder(old.runs[0])}: epochs 2 -> 1",
    ):
        assert part in text, text


def test_verify_trains_again_and_demands_every_bit_on_the_same_machine(plan: Plan) -> None:
    folder = plan.run_folder(plan.runs[0])
    run_or_resume(plan, plan.runs[0], threads=1)
    found = verify(folder)
    assert (found.verdict, found.required) == ("identical", "every bit")
    assert found.same_weights and found.largest_logit_difference == 0
    stored = json.loads((folder / "verification.json").read_text())
    assert stored == json.loads(json.dumps(asdict(found)))
    path = folder / "predictions.parquet"
    frame = pd.read_parquet(path)
    frame.loc[3, "logit_0"] += 1e-3
    frame.to_parquet(path, index=False)
    command = [sys.executable, "-m", "harness", "verify", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.startswith("different (required: every bit)"), done.stderr
    assert json.loads((folder / "verification.json").read_text())["same_weights"]


def test_elsewhere_a_metric_may_differ_within_the_stated_tolerance(plan: Plan, tmp_path: Path) -> None:
    here, there = plan, replace(plan, results=tmp_path / "elsewhere")
    verdicts = []
    for score, host in ((0.51, "far"), (0.55, "far"), (0.51, "near")):
        folders = [plant(here, plan.runs[0], 0.5).path, plant(there, plan.runs[0], score).path]
        for folder, name in zip(folders, ("near", host), strict=True):
            RunFolder(folder).write_json(
                folder / "provenance.json", {"machine": {"host": name}, "versions": {}}
            )
        found = compare(*folders, tolerance=0.02)
        verdicts.append((found.verdict, found.required))
    assert verdicts == [
        ("within tolerance", "metrics within 0.02"),
        ("different", "metrics within 0.02"),
        ("different", "every bit"),
    ]


def test_a_run_that_the_code_no_longer_gives_cannot_be_verified(plan: Plan) -> None:
    folder = plant(plan, plan.runs[0], 0.5)
    record = json.loads(folder.result_path.read_text())
    folder.result_path.write_text(json.dumps({**record, "run_key": "0" * 64}))
    with pytest.raises(HarnessError, match="changed since commit c0ffee"):
        run_of(folder.path)


def test_a_bundle_rebuilds_the_same_tables_in_another_clone(plan: Plan, tmp_path: Path) -> None:
    finish(plan)
    (plan.run_folder(plan.runs[0]) / "weights.safetensors").write_bytes(b"large")
    archive = tmp_path / "toy.bundle.tar.gz"
    manifest = make_bundle(plan, archive)
    assert manifest.runs == manifest.planned == 4
    assert not any("weights" in name for name in manifest.files)
    assert {"environment/constraints.txt", "environment/installed.txt"} <= set(manifest.files)
    first = archive.read_bytes()
    make_bundle(plan, archive)
    assert archive.read_bytes() == first
    other = replace(plan, results=tmp_path / "other")
    found = merge_bundle(archive, other.results)
    assert (found.added, found.kept, found.conflicts) == (4, 0, 0)
    assert found.file.read_bytes() == plan.file.read_bytes()
    written = [
        {
            p.name: p.read_bytes()
            for p in write_tables(make_tables(one.as_file(), build_frame(one), {}), tmp_path / name)
        }
        for one, name in ((plan, "a"), (other, "b"))
    ]
    assert written[0] == written[1]
    again = merge_bundle(archive, other.results)
    assert (again.added, again.kept, again.conflicts) == (0, 4, 0)
    assert not list(other.results.glob(".merge-*"))


def test_merging_names_conflicts_and_takes_nothing_unless_told(plan: Plan, tmp_path: Path) -> None:
    finish(plan)
    archive = tmp_path / "toy.bundle.tar.gz"
    make_bundle(plan, archive)
    other = replace(plan, results=tmp_path / "other")
    ours = plant(other, plan.runs[1], 0.9)
    plant(other, plan.runs[0], 0.6, seconds=9.0, curve=[(1, 0.5), (2, 0.6)])  # the same but for its time
    with pytest.raises(HarnessError, match="1 runs differ, nothing was added") as caught:
        merge_bundle(archive, other.results)
    assert f"{ours.path.name}: differs in metrics" in str(caught.value)
    assert not other.run_folder(plan.runs[2]).exists()
    kept = merge_bundle(archive, other.results, keep="ours")
    assert (kept.added, kept.kept) == (2, 2)
    assert ours.result().metrics == {"validation": {"accuracy": 0.9}}
    taken = merge_bundle(archive, other.results, keep="theirs")
    assert (taken.added, taken.kept) == (1, 3)
    assert ours.result().metrics == {"validation": {"accuracy": 0.7}}
    (aside,) = (other.folder / "replaced").rglob("result.json")
    assert RunFolder(aside.parent).result().metrics == {"validation": {"accuracy": 0.9}}


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("cut", "not a complete bundle"),
        ("changed", "differs from its manifest: experiment.yaml"),
        ("outside", "'../evil' is not a plain file inside it"),
        ("none", "not a bundle"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused(plan: Plan, tmp_path: Path, harm: str, message: str) -> None:
    finish(plan)
    archive = tmp_path / "toy.bundle.tar.gz"
    make_bundle(plan, archive)
    if harm == "cut":
        archive.write_bytes(archive.read_bytes()[:2000])
    elif harm in ("changed", "outside"):
        _repack(archive, "experiment.yaml" if harm == "changed" else "../evil", b"name: other\n")
    else:
        archive.unlink()
    with pytest.raises(HarnessError, match=re.escape(message)):
        merge_bundle(archive, tmp_path / "other")
    assert not list((tmp_path / "other").rglob("result.json"))
    assert not (tmp_path / "other" / "evil").exists()


def _repack(archive: Path, name: str, content: bytes) -> None:
    """Put another content under one name of an archive."""
    with tarfile.open(archive) as packed:
        files = {m.name: packed.extractfile(m).read() for m in packed.getmembers()}
    with tarfile.open(archive, "w:gz") as packed:
        for member, data in {**files, name: content}.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))


def test_a_reference_is_made_of_finished_experiments_and_renders_the_same_bytes(
    plan: Plan, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match="4 of 4 runs have no result"):
        make_reference(plan, tmp_path / "reference")
    finish(plan)
    made = make_reference(plan, tmp_path / "reference")
    assert {p.name for p in made.iterdir()} == {"plan.json", *EXPORTED, "tables", "figures", "report.html"}
    shutil.rmtree(plan.results)
    again = render_reference(reference_folder("toy", tmp_path / "reference"), tmp_path / "again")
    assert content_of(again, tmp_path / "again") == rendered(made)
    with pytest.raises(HarnessError, match="unknown reference 'tyo'; did you mean 'toy'"):
        reference_folder("tyo", tmp_path / "reference")


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda path: path.name)
def test_tracked_references_give_their_tracked_bytes(reference: Path, tmp_path: Path) -> None:
    assert content_of(render_reference(reference, tmp_path), tmp_path) == rendered(reference)


def content_of(paths: list[Path], folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def rendered(reference: Path) -> dict[str, bytes]:
    """Return tables, figures and report that lie in a reference."""
    return content_of([*reference.glob("*/*"), reference / "report.html"], reference)


def test_plan_tells_what_is_superseded_and_why(plan: Plan, tmp_path: Path) -> None:
    plant(plan, plan.runs[0], 0.5)
    changes = {
        "settings": {**plan.experiment.settings, "epochs": 2},
        "variants": ["vanilla"],
        "seeds": [1, 3],
    }
    (tmp_path / "new").mkdir()
    new = replace(toy_plan(tmp_path / "new", **changes), results=plan.results)
    plant(plan, plan.runs[1], 0.5)
    plant(plan, plan.runs[2], 0.5)
    old = history.superseded(new)
    assert list(old.values()) == [
        "task, model or variant is no longer in the experiment",
        "epochs 1 -> 2",
        "seed 2 is no longer in the experiment",
    ]
    assert [history.reason_to_run(new, run, old) for run in new.runs] == ["changed: epochs 1 -> 2", "new"]


def test_hours_come_from_past_runs_and_much_asks_for_a_flag(plan: Plan, tmp_path: Path) -> None:
    for run in plan.runs[:2]:
        plant(plan, run, 0.5, seconds=3599.0)  # and a second of evaluation: an hour
    known = history.rates(plan.results)
    two = [run for run in plan.runs if run.cell.variant == "freelb"]
    # planted runs say that a pass took one example for each batch of eight: eight hours, three times
    one, unknown = history.hours(plan.runs[:1], known)
    assert unknown == 0
    assert history.hours(two, known)[0] == pytest.approx(2 * 3 * one)
    assert history.hours(plan.runs, {}) == (0.0, 4)
    command = [sys.executable, "-m", "harness", "plan", str(plan.file), "--out", str(plan.results)]
    done = subprocess.run([*command, "--limit", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "to plan them anyway, add: --limit" in done.stderr
    assert "by past runs: " in done.stdout
    more = subprocess.run([*command, "--limit", "1e9"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert more.returncode == 0, more.stderr
