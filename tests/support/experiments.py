"""The plan of a tiny experiment."""

from pathlib import Path
from typing import Any

import yaml

from harness.plan.plan import Plan, make_plan


def toy_plan(folder: Path, **changes: Any) -> Plan:
    """Return the plan of a tiny experiment whose results go below ``folder``."""
    content = {
        "name": "toy",
        "title": "A toy experiment",
        "settings": {"epochs": 1, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16},
        "tasks": ["rotten_tomatoes"],
        "models": ["tiny"],
        "variants": ["vanilla"],
        "seeds": [1],
        **changes,
    }
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return make_plan(path, folder / "results")
