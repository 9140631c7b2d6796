"""The Hugging Face Hub, or a folder with its layout. Only this module uses the network."""

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.config.model import HubModel
from harness.config.task import Hub, Task
from harness.util.errors import HarnessError

MODEL_FILES = (
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spm.model", "spiece.model",
)  # fmt: skip
"""Files to download: neither code nor pickled weights."""


@dataclass(frozen=True)
class HubSource:
    """The source of repositories: huggingface.co, or a local folder."""

    folder: Path | None = None
    """Folder with ``<owner>/<name>/...``; None for huggingface.co."""

    def commit(self, repo: str, revision: str, kind: str) -> str | None:
        """Return the commit to which ``revision`` currently refers; None for a folder.

        Raises:
            HarnessError: the repository or revision does not exist, or cannot be reached.
        """
        if self.folder is not None:
            return None
        from huggingface_hub import HfApi

        logging.getLogger("httpx").setLevel(logging.WARNING)  # otherwise one line per request
        try:
            sha = HfApi().repo_info(repo, revision=revision, repo_type=kind).sha
        except Exception as error:  # any failure of the network or of the Hub
            raise HarnessError(_unreachable(repo, revision, error)) from error
        assert sha is not None
        return sha

    def table(self, hub: Hub, task: Task, split: str, commit: str | None) -> pd.DataFrame:
        """Return a split of a data set.

        Raises:
            HarnessError: the split cannot be loaded, or its labels differ from the task's.
        """
        from datasets import load_dataset
        from datasets.utils.logging import disable_progress_bar, set_verbosity_error

        set_verbosity_error()
        disable_progress_bar()
        path = hub.path if self.folder is None else str(self.folder / hub.path)
        hub_split = hub.splits.get(split, split)
        with tempfile.TemporaryDirectory() as cache:  # the default cache ignores changes of a folder
            try:
                data = load_dataset(path, hub.name, split=hub_split, revision=commit, cache_dir=cache)
            except Exception as error:
                reason = _unreachable(path, commit or "folder", error)
                raise HarnessError(f"{reason} (split {hub_split!r})") from error
            names = getattr(data.features.get(task.label), "names", None)
            table: pd.DataFrame = data.to_pandas()
        if names is not None and task.kind == "classification" and list(names) != task.labels:
            raise HarnessError(f"{path}: labels {', '.join(names)}; expected {', '.join(task.labels)}")
        return table

    def model_files(self, hub: HubModel, commit: str | None, into: Path) -> None:
        """Copy a model's files into the folder ``into``.

        Raises:
            HarnessError: the repository cannot be read, or has no safetensors file.
        """
        if self.folder is not None:
            folder = self.folder / hub.repo
            if not folder.is_dir():
                raise HarnessError(f"{folder}: no such folder")
            for name in MODEL_FILES:
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, into / name)
        else:
            from huggingface_hub import snapshot_download

            try:
                snapshot_download(hub.repo, revision=commit, allow_patterns=list(MODEL_FILES), local_dir=into)
            except Exception as error:
                raise HarnessError(_unreachable(hub.repo, commit or hub.revision, error)) from error
            shutil.rmtree(into / ".cache", ignore_errors=True)  # metadata of the download
        for name in ("config.json", "model.safetensors"):
            if not (into / name).is_file():
                raise HarnessError(
                    f"{hub.repo} at {commit or 'folder'} has no {name}; only safetensors weights are "
                    "supported: set hub.revision in the model's file to a revision that has them"
                )


def _unreachable(repo: str, revision: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    return f"{repo} at {revision} cannot be read: {type(error).__name__}: {reason}"
