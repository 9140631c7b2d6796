"""Weights from a checkpoint: the head is fresh, whatever the checkpoint has; inputs fit the positions."""

from pathlib import Path

import pytest
import torch
from support.experiments import toy_plan
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from harness.config.model import HubModel, Model
from harness.data.pretrained import (
    SETTINGS,
    load_network,
    longest_input,
    settings_digest,
)
from harness.engine.rng import GlobalStream
from harness.util.errors import HarnessError
from harness.util.hashing import file_digest

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 40,
}  # fmt: skip


def checkpoint(folder: Path, family: str, labels: int | None) -> Model:
    """Write a random checkpoint, with a head of ``labels`` classes or without one; return its model."""
    with GlobalStream(0, CPU).active():
        if labels is None:
            network = AutoModel.from_config(AutoConfig.for_model(family, **SIZES))
        else:
            config = AutoConfig.for_model(family, num_labels=labels, **SIZES)
            network = AutoModelForSequenceClassification.from_config(config)
    network.save_pretrained(folder)
    return Model(
        title="t",
        hub=HubModel(repo="a/b"),
        weights_sha256=file_digest(folder / "model.safetensors"),
        configuration_sha256=settings_digest(folder),
        licence="",
        citation="",
    )


def loaded(folder: Path, model: Model, seed: int) -> dict[str, torch.Tensor]:
    """Return the parameters for a task with three classes and a head of ``seed``."""
    with GlobalStream(seed, CPU).active():
        network = load_network(folder, model, 3, CPU)
    return {name: p.detach() for name, p in network.named_parameters()}


@pytest.mark.parametrize("labels", [None, 3, 5])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_head_is_fresh_whatever_the_checkpoint_has(
    tmp_path: Path, family: str, labels: int | None
) -> None:
    model = checkpoint(tmp_path / "one", family, labels)
    one, again, other = (loaded(tmp_path / "one", model, seed) for seed in (1, 1, 2))
    headless = loaded(tmp_path / "none", checkpoint(tmp_path / "none", family, None), 1)
    head = {name for name in one if "classifier" in name and name.endswith("weight")}
    assert head
    for name, value in one.items():
        assert torch.equal(value, again[name])
        if name in head:
            assert not torch.equal(value, other[name]), name
        elif "classifier" not in name and "pooler" not in name:
            assert torch.equal(value, other[name]) and value.shape == headless[name].shape, name
    for name in head:
        assert torch.equal(one[name], headless[name]) or family == "bert"  # a pooler is part of the backbone


def test_positions_of_families_that_count_from_the_padding_id(tmp_path: Path) -> None:
    bert = Model(title="", package=None, hub=HubModel(repo="a/b"), licence="", citation="",
                 random={"model_type": "bert", "max_position_embeddings": 512})  # fmt: skip
    assert longest_input(tmp_path, bert) == 512
    roberta = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    assert longest_input(tmp_path, bert.model_copy(update={"random": roberta})) == 512
    deberta = {"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": False}
    assert longest_input(tmp_path, bert.model_copy(update={"random": deberta})) is None
    assert longest_input(tmp_path, bert.model_copy(update={"random": None})) is None


def test_inputs_that_are_longer_than_the_positions_are_refused_by_plan(tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 8, "train_rows": 16, "selection_rows": 16}
    for name, longest in (("tiny", 512), ("tiny-roberta", 513), ("minilm", 512)):
        toy_plan(tmp_path, models=[name], settings={**settings, "max_length": longest})
        with pytest.raises(
            HarnessError, match=f"max_length: expected at most {longest}, the positions of {name}"
        ):
            toy_plan(tmp_path, models=[name], settings={**settings, "max_length": longest + 1})


def test_all_settings_files_are_small_files_of_a_checkpoint() -> None:
    assert "config.json" in SETTINGS and "model.safetensors" not in SETTINGS
