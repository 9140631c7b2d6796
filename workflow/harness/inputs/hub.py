"""The Hugging Face Hub, or a folder in its layout: the only code that reaches for the network."""

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.errors import HarnessError
from harness.plan.model import HubModel
from harness.plan.task import Hub, Task

MODEL_FILES = (
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spm.model", "spiece.model",
)  # fmt: skip
"""Never code, never pickled weights."""


@dataclass(frozen=True)
class HubSource:
    """Where repositories are taken from."""

    folder: Path | None = None
    """``<folder>/<owner>/<name>/...`` instead of huggingface.co"""

    def commit(self, repo: str, revision: str, kind: str) -> str | None:
        """Return the commit that ``revision`` stands for now; None for a folder.

        Raises:
            HarnessError: there is no such repository or revision, or it cannot be reached.
        """
        if self.folder is not None:
            return None
        from huggingface_hub import HfApi

        logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a request otherwise
        try:
            sha = HfApi().repo_info(repo, revision=revision, repo_type=kind).sha
        except Exception as error:  # every failure of the network or the Hub ends in the same advice
            raise HarnessError(_unreachable(repo, revision, error)) from error
        assert sha is not None
        return sha

    def table(self, hub: Hub, task: Task, split: str, commit: str | None) -> pd.DataFrame:
        """Return a split of a data set.

        Raises:
            HarnessError: it cannot be loaded, or its labels are others than the task's.
        """
        from datasets import load_dataset
        from datasets.utils.logging import disable_progress_bar, set_verbosity_error

        set_verbosity_error()
        disable_progress_bar()
        path = hub.path if self.folder is None else str(self.folder / hub.path)
        theirs = hub.splits.get(split, split)
        with tempfile.TemporaryDirectory() as cache:  # the library's own cache outlives changed files
            try:
                data = load_dataset(path, hub.name, split=theirs, revision=commit, cache_dir=cache)
            except Exception as error:
                raise HarnessError(f"{_unreachable(path, commit or 'folder', error)} ({theirs})") from error
            names = getattr(data.features.get(task.label), "names", None)
            table: pd.DataFrame = data.to_pandas()
        if names is not None and task.kind == "classification" and list(names) != task.labels:
            raise HarnessError(f"{path}: labels {', '.join(names)}; expected {', '.join(task.labels)}")
        return table

    def model_files(self, hub: HubModel, commit: str | None, into: Path) -> None:
        """Copy a model's files into a folder.

        Raises:
            HarnessError: the repository cannot be read, or has no safetensors.
        """
        if self.folder is not None:
            here = self.folder / hub.repo
            if not here.is_dir():
                raise HarnessError(f"{here}: there is no such folder")
            for name in MODEL_FILES:
                if (here / name).is_file():
                    shutil.copyfile(here / name, into / name)
        else:
            from huggingface_hub import snapshot_download

            try:
                snapshot_download(hub.repo, revision=commit, allow_patterns=list(MODEL_FILES), local_dir=into)
            except Exception as error:
                raise HarnessError(_unreachable(hub.repo, commit or hub.revision, error)) from error
            shutil.rmtree(into / ".cache", ignore_errors=True)  # the library's notes on the download
        for name in ("config.json", "model.safetensors"):
            if not (into / name).is_file():
                raise HarnessError(
                    f"{hub.repo} at {commit or 'folder'} holds no {name}; only safetensors are taken: name a "
                    "revision that has them in the model's file"
                )


def _unreachable(repo: str, revision: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    return f"{repo} at {revision} cannot be read: {type(error).__name__}: {reason}"
