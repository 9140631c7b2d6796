"""What a change of a file leaves valid: a new method nothing else, an edited one itself alone, words all."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.clones import copy_of_the_repository

EXPERIMENT = {
    "name": "toy",
    "title": "A toy experiment",
    "settings": {"epochs": 1, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16},
    "tasks": ["rotten_tomatoes"],
    "models": ["tiny"],
    "variants": ["vanilla", "freelb"],
    "seeds": [1],
}
NOTHING = "Nothing to be done"


class Clone:
    """A copy of the repository whose experiment was run."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_of_the_repository(folder)
        (folder / "toy.yaml").write_text(yaml.safe_dump(EXPERIMENT))
        self.snakemake()

    def snakemake(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "toy.yaml"]
        there = {"PYTHONPATH": f"{self.folder / 'workflow'}:{self.folder}"}
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | there, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def to_do(self) -> list[str]:
        """Return the variants whose runs a dry run would make."""
        text = self.snakemake("-n")
        found = set(re.findall(r"rotten_tomatoes/tiny/(\w+)/seed1-[0-9a-f]{8}$", text, re.MULTILINE))
        assert found or NOTHING in text
        return sorted(found)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def test_a_new_method_leaves_every_run_valid(clone: Clone) -> None:
    there = {"PYTHONPATH": f"{clone.folder / 'workflow'}:{clone.folder}"}
    command = [sys.executable, "-m", "harness", "new-method", "mine"]
    subprocess.run(command, cwd=clone.folder, env=os.environ | there, check=True)
    (clone.folder / "baselines" / "broken.py").write_text("import no_such_module\n")
    assert clone.to_do() == []


WORDS = {
    "baselines/freelb.py": ("class FreeLB(Method):", "# Other words.\nclass FreeLB(Method):"),
    "baselines/vanilla.py": ('"""Forward, backward, step."""', '"""Other words."""'),
    "mat/langevin.py": ("def ", "# Other words.\n\n\ndef "),
    "workflow/harness/engine/splits.py": ('"""', '"""Other words. '),
    "workflow/harness/methods/interface.py": ('"""', '"""Other words. '),
    "workflow/rules/train.smk": ("rule train:", "# Other words.\nrule train:"),
    "Snakefile": ("rule all:", "# Other words.\nrule all:"),
    "config/tasks/rotten_tomatoes.yaml": ("title:", "# Other words.\ntitle:"),
    "config/protocols/honest.yaml": ("epochs:", "# Other words.\nepochs:"),
    "config/variants.yaml": ("vanilla:", "# Other words.\nvanilla:"),
    "toy.yaml": ("title:", "# Other words.\ntitle:"),
}


def test_other_words_anywhere_leave_every_run_valid(clone: Clone) -> None:
    for name, (old, new) in WORDS.items():
        clone.edit(name, old, new)
    assert clone.to_do() == []


def test_an_edited_method_makes_its_own_runs_invalid_alone(clone: Clone) -> None:
    clone.edit("baselines/freelb.py", "model.backward(loss / args.steps)", "model.backward(loss)")
    assert clone.to_do() == ["freelb"]
    clone.edit("baselines/freelb.py", "model.backward(loss)", "model.backward(loss / args.steps)")
    assert clone.to_do() == []
