"""Models and tokenizers, loaded from verified files; the head is fresh."""

from pathlib import Path
from typing import Any

import torch

from harness.core.streams import GlobalStream
from harness.errors import HarnessError
from harness.inputs.packages import package_file
from harness.plan.keys import file_digest
from harness.plan.model import Model

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"


def model_folder(name: str, model: Model, fetched: Path) -> Path:
    """Return the folder with the model's files; ``fetched`` holds what ``fetch`` brought.

    Raises:
        HarnessError: the package is absent, or the model is not fetched.
    """
    if model.package is not None:
        package = model.package
        return package_file(package.distribution, package.version, package.module, package.folder)
    folder = fetched / name
    if not folder.is_dir():
        command = f"python -m harness fetch --model {name.replace('--', '/')}"
        raise HarnessError(f"model {name} is not fetched here; type: {command}")
    return folder


def load_tokenizer(folder: Path, model: Model) -> Any:
    """Return the fast tokenizer in ``folder``; raises HarnessError if it is not the declared one."""
    from transformers import AutoTokenizer

    verify(folder / TOKENIZER, model.tokenizer_sha256)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)


def load_network(folder: Path, model: Model, outputs: int, head: GlobalStream, device: torch.device) -> Any:
    """Return the encoder in ``folder`` with a head of ``outputs`` logits drawn from the head stream.

    Raises:
        HarnessError: the weights are not the declared ones.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # that the head is fresh is the point, not news
    logging.disable_progress_bar()
    with head.active():
        if model.random is not None:
            values = {k: v for k, v in model.random.items() if k != "model_type"}
            config = AutoConfig.for_model(model.random["model_type"], num_labels=outputs, **values)
            network = AutoModelForSequenceClassification.from_config(config)
        else:
            verify(folder / WEIGHTS, model.weights_sha256)
            network = AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=outputs, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
    return network.to(device)


def centre_head(network: Any, mean: float) -> None:
    """Let a regression head start from ``mean``: its bias is the last single number among the parameters.

    A head that starts from zero spends its first hundred batches on the offset of the labels, and on few
    rows the encoder bends to it until all texts look alike.
    """
    bias = [p for p in network.parameters() if p.numel() == 1][-1]
    with torch.no_grad():
        bias.fill_(mean)


def verify(path: Path, expected: str | None) -> None:
    """Compare a file with its declared or locked hash.

    Raises:
        HarnessError: the file is absent, another one, or nothing is known of it.
    """
    if expected is None:
        raise HarnessError(f"{path}: its hash is neither declared nor locked: python -m harness fetch")
    if not path.is_file():
        raise HarnessError(f"{path}: there is no such file")
    if (found := file_digest(path)) != expected:
        raise HarnessError(
            f"{path}: SHA-256 {found[:12]}..., expected {expected[:12]}...: not the declared file"
        )
