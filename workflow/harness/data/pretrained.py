"""Models and tokenizers, loaded from verified files; the head is new."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.architectures import unsupported
from harness.config.locations import suggest
from harness.config.model import Model
from harness.data.packages import package_file
from harness.util.errors import HarnessError
from harness.util.hashing import digest, file_digest

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
WEIGHTS, TOKENIZER, CONFIGURATION = "model.safetensors", "tokenizer.json", "config.json"
SETTINGS = (CONFIGURATION, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Small files that change the computation or the token ids."""
DROPOUT_NAMES = {
    "hidden_dropout": ("hidden_dropout_prob", "dropout", "embedding_dropout", "mlp_dropout"),
    "attention_dropout": ("attention_probs_dropout_prob", "attention_dropout"),
    "head_dropout": ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout"),
}
"""Protocol setting to its names in the configurations of transformers."""
AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text", "mpnet", "ibert")
"""Model types whose first position is the padding id plus one."""


def model_folder(name: str, model: Model, fetched: Path) -> Path:
    """Return the folder with the model's files; ``fetched`` holds fetched models.

    Raises:
        HarnessError: the package is missing, or the model is not fetched.
    """
    if model.package is not None:
        package = model.package
        return package_file(package.distribution, package.version, package.module, package.folder)
    folder = fetched / name
    if not folder.is_dir():
        command = suggest("fetch", "--model", name.replace("--", "/"))
        raise HarnessError(f"model {name} is not fetched; type: {command}")
    return folder


def model_type(folder: Path, model: Model) -> str | None:
    """Return the model type (``bert``, ``roberta``, ...), None if the model's files are not in ``folder``."""
    if model.random is not None:
        return str(model.random["model_type"])
    try:
        configuration = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
    except OSError:
        return None
    declared = configuration.get("model_type")
    return None if declared is None else str(declared)


def longest_input(folder: Path, model: Model) -> int | None:
    """Return the largest number of tokens that the model's positions allow, None if it is not known.

    Families that number positions from the padding id on have that many fewer.
    """
    values: dict[str, Any] = model.random or {}
    if not values:
        try:
            values = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
        except OSError:
            return None
    positions = values.get("max_position_embeddings")
    if positions is None or not values.get("position_biased_input", True):
        return None
    after_padding = values.get("model_type") in AFTER_PADDING
    return int(positions) - (int(values.get("pad_token_id", 1)) + 1 if after_padding else 0)


def load_tokenizer(folder: Path, model: Model) -> Any:
    """Return the fast tokenizer in ``folder``; raise HarnessError if it is not the declared one."""
    from transformers import AutoTokenizer

    verify(folder / TOKENIZER, model.tokenizer_sha256)
    verify_settings(folder, model)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)


def load_network(
    folder: Path,
    model: Model,
    outputs: int,
    device: "torch.device",
    dropout: Mapping[str, float] | None = None,
) -> Any:
    """Return the encoder in ``folder`` with a new head of ``outputs`` logits.

    The head is drawn from torch's global generators. ``dropout`` has the rates that are not the model's own
    (``Protocol.dropout_rates``).

    Raises:
        HarnessError: the weights are not the declared ones, the architecture is not supported, or it has
            no dropout of a kind in ``dropout``.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # the head is new on purpose: no warning about it
    transformers_logging.disable_progress_bar()
    name = model_type(folder, model)
    if name is not None and (reason := unsupported(name)) is not None:
        raise HarnessError(f"model type {name} is not supported: {reason}")
    if model.random is not None:
        values = {k: v for k, v in model.random.items() if k != "model_type"}
        config = AutoConfig.for_model(name, num_labels=outputs, **values)
        _set_dropout(config, dropout or {})
        network = AutoModelForSequenceClassification.from_config(config)
    else:
        verify(folder / WEIGHTS, model.weights_sha256)
        verify_settings(folder, model)
        config = AutoConfig.from_pretrained(folder, num_labels=outputs, local_files_only=True)
        _set_dropout(config, dropout or {})
        with torch.device("meta"):
            empty = AutoModelForSequenceClassification.from_config(config)
        weights = _without_head(folder, empty)
        network = type(empty).from_pretrained(
            None if weights else folder,
            config=config,
            state_dict=weights,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
        )
    check_network(network)
    return network.to(device)


def _set_dropout(config: Any, rates: Mapping[str, float]) -> None:
    """Set dropout rates under the names that the architecture has for them."""
    for kind, rate in rates.items():
        names = [name for name in DROPOUT_NAMES[kind] if hasattr(config, name)]
        if kind == "head_dropout" and config.model_type.startswith("deberta"):
            names = ["cls_dropout"]  # read if it is there
        if not names:
            raise HarnessError(f"{kind}: model type {config.model_type} has no such dropout rate")
        for name in names:
            setattr(config, name, rate)


def _without_head(folder: Path, network: Any) -> "dict[str, torch.Tensor] | None":
    """Return the weights of a checkpoint that has a head like that of ``network``, without it; else None.

    A head that was trained before would be the same for every seed, with its own order of labels.
    """
    from safetensors import safe_open

    backbone = f"{network.base_model_prefix}."
    head = {name for name in network.state_dict() if not name.startswith(backbone)}
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        if not head & set(file.keys()):
            return None
        log.info("%s: the head of the checkpoint is not used; each run has a fresh one", folder)
        return {name: file.get_tensor(name) for name in file.keys() if name not in head}  # noqa: SIM118


def check_network(network: Any) -> None:
    """Check that the word embeddings and the embedding output of ``network`` can be replaced.

    Raises:
        HarnessError: they cannot.
    """
    from torch import nn

    if (reason := unsupported(network.config.model_type)) is not None:
        raise unsupported_error(network, reason)
    words, embeddings = network.get_input_embeddings(), getattr(network.base_model, "embeddings", None)
    if not isinstance(words, nn.Embedding):
        raise unsupported_error(network, "its words do not come from an embedding table")
    if not isinstance(embeddings, nn.Module) or embeddings is words:
        raise unsupported_error(network, "it has no embedding layer before the other layers")


def unsupported_error(network: Any, reason: str) -> HarnessError:
    """Return the error of a network that methods cannot perturb."""
    return HarnessError(f"model type {network.config.model_type} is not supported: {reason}")


def centre_head(network: Any, mean: float) -> None:
    """Let a regression head start from ``mean``: its bias is the last parameter with a single number.

    A head that starts from zero needs its first hundred batches for the offset of the labels. On few rows,
    the encoder adapts to that offset until all texts look alike.
    """
    import torch

    bias = [p for p in network.parameters() if p.numel() == 1][-1]
    with torch.no_grad():
        bias.fill_(mean)


def settings_digest(folder: Path) -> str:
    """Return the hash of the model's and the tokenizer's settings, by file name."""
    return digest({name: file_digest(folder / name) for name in SETTINGS if (folder / name).is_file()})


def verify_settings(folder: Path, model: Model) -> None:
    """Compare the settings in ``folder`` with the declared or locked ones.

    Raises:
        HarnessError: they differ, or no hash is declared or locked.
    """
    files = ", ".join(name for name in SETTINGS if (folder / name).is_file())
    expected = model.configuration_sha256
    if expected is None:
        raise HarnessError(f"{folder}: {files}: no hash is declared or locked; type: harness fetch")
    if (actual := settings_digest(folder)) != expected:
        raise HarnessError(
            f"{folder}: {files}: hash {actual[:12]}..., expected {expected[:12]}...: not the declared files"
        )


def verify(path: Path, expected: str | None) -> None:
    """Compare a file with its declared or locked hash.

    Raises:
        HarnessError: the file is missing or differs, or no hash is declared or locked.
    """
    if expected is None:
        raise HarnessError(f"{path}: its hash is neither declared nor locked; type: harness fetch")
    if not path.is_file():
        raise HarnessError(f"{path}: no such file")
    if (actual := file_digest(path)) != expected:
        raise HarnessError(
            f"{path}: SHA-256 {actual[:12]}..., expected {expected[:12]}...: not the declared file"
        )
