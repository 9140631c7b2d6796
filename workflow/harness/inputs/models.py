"""Models and tokenizers, loaded from verified files; the head is fresh."""

from pathlib import Path
from typing import Any

import torch

from harness.core.streams import GlobalStream
from harness.errors import HarnessError
from harness.inputs.packages import package_file
from harness.plan.keys import file_digest
from harness.plan.model import Model


def model_folder(model: Model) -> Path:
    """Return the folder with the model's files, after a check of the tokenizer's hash.

    Raises:
        HarnessError: the package is absent, or a file is not the declared one.
    """
    package = model.package
    folder = package_file(package.distribution, package.version, package.module, package.folder)
    _verify(folder / "tokenizer.json", model.tokenizer_sha256)
    return folder


def load_tokenizer(model: Model) -> Any:
    """Return the model's fast tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder(model), local_files_only=True, use_fast=True)


def load_network(model: Model, outputs: int, head: GlobalStream, device: torch.device) -> Any:
    """Return the pre-trained encoder with a head of ``outputs`` logits drawn from the head stream."""
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # that the head is fresh is the point, not news
    logging.disable_progress_bar()
    folder = model_folder(model)
    with head.active():
        if model.random is not None:
            values = {k: v for k, v in model.random.items() if k != "model_type"}
            config = AutoConfig.for_model(model.random["model_type"], num_labels=outputs, **values)
            network = AutoModelForSequenceClassification.from_config(config)
        else:
            _verify(folder / "model.safetensors", model.weights_sha256)
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


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise HarnessError(f"{path}: there is no such file")
    if (found := file_digest(path)) != expected:
        raise HarnessError(
            f"{path}: SHA-256 {found[:12]}..., expected {expected[:12]}...: not the declared file"
        )
