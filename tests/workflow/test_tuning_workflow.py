"""The tiny form of config/quick-tuned.yaml under Snakemake: search, files, training, ledger."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.clones import Clone

from harness.config.tuned import read_records, read_tuned
from harness.util.paths import CONFIG


def tiny(**changes: Any) -> dict[str, Any]:
    """Return quick-tuned with few rows, a tiny model, and one seed."""
    content = yaml.safe_load((CONFIG / "quick-tuned.yaml").read_text())
    settings = {"train_rows": 16, "selection_rows": 16, "batch_size": 8, "max_length": 16, "epochs": 1}
    content["settings"] = {**content["settings"], **settings}
    return {**content, "name": "toy", "models": ["tiny"], "seeds": [1], **changes}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose experiment was run once."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    (made.folder / "toy.yaml").write_text(yaml.safe_dump(tiny()))
    before = made.snakemake("-n")
    assert "study rotten_tomatoes/tiny/mat, worker 1" in before and "write the tuned files" in before
    made.snakemake("--cores", "2")
    return made


def tuned(clone: Clone, variant: str) -> Path:
    return clone.folder / f"results/toy/tuned/rotten_tomatoes/tiny/{variant}.yaml"


def test_every_method_is_searched_then_trained_with_what_was_found(clone: Clone) -> None:
    folder = clone.folder / "results/toy"
    plan = json.loads((folder / "plan.json").read_text())
    for variant in ("vanilla", "mat"):
        found = read_tuned(tuned(clone, variant))
        assert found.search["trials"] == tiny()["tuning"]["trials"] == 8
        cell = plan["cells"][f"rotten_tomatoes/tiny/{variant}-tuned"]
        assert cell["protocol"]["learning_rate"] == found.settings["learning_rate"]
        assert found.arguments.items() <= cell["arguments"].items()
        assert cell["tuning"]["defaults"] == variant and not cell["tuning"]["awaits_tuning"]
        (result,) = folder.glob(f"runs/rotten_tomatoes/tiny/{variant}-tuned/seed1-*/result.json")
        assert yaml.safe_load((result.parent / "config.yaml").read_text())["arguments"] == cell["arguments"]
        records = read_records(tuned(clone, variant).with_suffix(".trials.jsonl"))
        assert (
            cell["tuning"]["ledger"]["forward_equivalents"] == sum(r.forward_equivalents for r in records) > 0
        )


def test_the_ledger_is_a_table_and_the_searches_are_drawn(clone: Clone) -> None:
    table = (clone.folder / "results/toy/tables/tuning.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    assert "8 trials" in rows["vanilla-tuned"] and "8 trials" in rows["mat-tuned"]
    assert "(1/1)" in rows["mat-tuned"]
    names = ("search-rotten_tomatoes-tiny-vanilla", "search-rotten_tomatoes-tiny-mat")
    for name in (*names, "expected-best-rotten_tomatoes-tiny"):
        for form in ("png", "pdf"):
            assert (clone.folder / f"results/toy/figures/{name}.{form}").stat().st_size > 1000


def test_nothing_is_searched_again_even_where_a_tuned_file_was_lost(clone: Clone) -> None:
    assert "Nothing to be done" in clone.snakemake("-n")
    path, journals = tuned(clone, "mat"), sorted(clone.folder.glob("results/toy/studies/**/journal.log"))
    before, message = path.read_bytes(), [journal.read_bytes() for journal in journals]
    results = clone.results()
    path.unlink()
    clone.snakemake("--cores", "2")
    assert path.read_bytes() == before and [journal.read_bytes() for journal in journals] == message
    assert clone.results() == results
