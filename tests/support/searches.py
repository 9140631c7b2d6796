"""A tiny experiment with a search, on a regression of its own: its scores differ from trial to trial."""

import random
from pathlib import Path
from typing import Any

import yaml

from harness.data.rows import Row, rows_hash
from harness.plan.plan import Plan, make_plan
from harness.plan.study import Study

TRAIN, REPORT = 96, 32
SETTINGS = {
    "epochs": 1, "batch_size": 8, "train_rows": 32, "selection_rows": 48, "max_length": 8,
    "learning_rate": 5e-4, "evaluations_per_epoch": 2, "warmup": 0.0,
}  # fmt: skip


def experiment(**changes: Any) -> dict[str, Any]:
    """Return the content of an experiment that searches vanilla and FreeLB."""
    return {
        "name": "toy",
        "title": "A toy search",
        "settings": SETTINGS,
        "tasks": ["words"],
        "models": ["tiny"],
        "variants": {
            "vanilla": None,
            "freelb": {"arguments": {"steps": 2}},
            "vanilla-tuned": {"of": "vanilla", "arguments": "tuned"},
            "freelb-tuned": {"of": "freelb", "arguments": "tuned"},
        },
        "tuning": {"trials": 4},
        "seeds": [1, 2],
        **changes,
    }


def plan(folder: Path, shuffled: bool = False, **changes: Any) -> Plan:
    """Return the plan below ``folder``; ``shuffled``: the labels of the reported rows are others."""
    draw = random.Random(0)
    splits = {"train": rows(TRAIN, 0), "validation": rows(REPORT, TRAIN)}
    if shuffled:
        labels = [row.label for row in splits["validation"]]
        draw.shuffle(labels)
        splits["validation"] = [
            Row(row.texts, label) for row, label in zip(splits["validation"], labels, strict=True)
        ]
    stated = {name: {"count": len(found), "hash": rows_hash(found)} for name, found in splits.items()}
    task = {
        "title": "Words", "kind": "regression", "texts": ["text"], "range": [0, 4], "metrics": ["pearson"],
        "primary_metric": "pearson", "report": ["validation"], "rows": stated,
        "data_root": {"folder": "words"}, "licence": "MIT", "citation": "none",
    }  # fmt: skip
    write(folder / "mine" / "words.yaml", yaml.safe_dump(task))
    for name, found in splits.items():
        lines = [f"{row.texts[0]},{row.label}" for row in found]
        write(folder / "words" / f"{name}.csv", "\n".join(["text,label", *lines]) + "\n")
    places = {"data_root": str(folder), "tasks_dirs": [str(folder / "mine")]}
    content = {**experiment(**changes), **places}
    return planned(folder, content)


def planned(folder: Path, content: dict[str, Any]) -> Plan:
    """Return the plan of an experiment with this content."""
    path = folder / "toy.yaml"
    write(path, yaml.safe_dump(content, sort_keys=False))
    return make_plan(path, folder / "results")


def rows(count: int, start: int) -> list[Row]:
    """Return rows whose first word goes with the label, more or less."""
    draw, words = random.Random(start), ("awful", "poor", "plain", "fine", "lovely")
    found = []
    for number in range(start, start + count):
        label = number % len(words)
        word = words[label] if draw.random() < 0.75 else draw.choice(words)
        found.append(Row((f"{word} film number {number}",), float(label)))
    return found


def study(made: Plan, variant: str = "freelb") -> Study:
    """Return the search of a variant."""
    return next(one for one in made.studies() if one.variant == variant)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
