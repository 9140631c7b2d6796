"""A folder in the Hub's layout with one data set and one model, a task that comes from it, and commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from harness.config import catalogue
from harness.data.pretrained import model_folder
from harness.util.paths import ROOT

PAIRS = {
    "title": "Pairs",
    "kind": "classification",
    "texts": ["sentence"],
    "id": "idx",
    "labels": ["negative", "positive"],
    "metrics": ["accuracy"],
    "primary_metric": "accuracy",
    "report": ["validation"],
    "hub": {"path": "acme/sentences", "name": "pairs"},
    "data_root": {"folder": "acme/pairs"},
    "licence": "none",
    "citation": "none",
}
"""A task file that states no rows."""
CARD = """\
---
configs:
- config_name: pairs
  data_files:
  - {split: train, path: pairs/train-*}
  - {split: validation, path: pairs/validation-*}
---
"""


def write_hub(folder: Path) -> Path:
    """Write the data set ``acme/sentences`` and the model ``acme/tiny-bert``; return ``folder``."""
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features(
        {"sentence": Value("string"), "label": ClassLabel(names=PAIRS["labels"]), "idx": Value("int32")}
    )
    data = folder / "acme" / "sentences"
    (data / "pairs").mkdir(parents=True)
    (data / "README.md").write_text(CARD)
    for split in ("train", "validation"):
        rows = {
            "sentence": [f"{split} {i}" for i in range(40)],
            "label": [i % 2 for i in range(40)],
            "idx": list(range(40)),
        }
        table = Dataset.from_dict(rows, features=features)
        table.to_parquet(str(data / "pairs" / f"{split}-00000-of-00001.parquet"))
    _write_model(folder / "acme" / "tiny-bert")
    return folder


def _write_model(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(
        BertConfig(
            vocab_size=30522, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    ).save_pretrained(folder)
    source = model_folder("tiny", catalogue.model("tiny"), Path())
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(source / name, folder / name)
    (folder / "modeling_evil.py").write_text("raise SystemExit('code from the Hub was run')\n")


def write_task(folder: Path) -> Path:
    """Write the file of the task ``pairs``; return ``folder``."""
    folder.mkdir()
    (folder / "pairs.yaml").write_text(yaml.safe_dump(PAIRS))
    return folder


def online(**environment: str) -> dict[str, str]:
    """Return this process's environment without the switches that keep the Hub's libraries offline."""
    offline = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return {**{k: v for k, v in os.environ.items() if k not in offline}, **environment}


def harness(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the harness, with these changes of the environment."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments)],
        cwd=ROOT, env=online(**environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
