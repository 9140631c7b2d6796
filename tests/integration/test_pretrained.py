"""Weights from a checkpoint: the head is fresh, whatever the checkpoint has; inputs fit the positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.experiments import toy_plan
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from harness.config.model import HubModel, Model
from harness.config.table import load_tables
from harness.data.pretrained import (
    SETTINGS,
    load_network,
    longest_input,
    settings_digest,
)
from harness.engine.rng import GlobalStream
from harness.results.frame import build_frame
from harness.runs.run_or_resume import run_or_resume
from harness.tables.build import make_table
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


FAMILIES = ("bert", "roberta", "albert", "electra", "deberta-v2", "modernbert", "distilbert")


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_rates_replace_those_of_the_model(tmp_path: Path, family: str) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if family == "distilbert":
        sizes = {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2}
    model = Model(title="", hub=HubModel(repo="a/b"), licence="", citation="",
                  random={"model_type": family, "vocab_size": 50, "pad_token_id": 0, **sizes})  # fmt: skip
    rates = {"hidden_dropout": 0.2, "attention_dropout": 0.3, "head_dropout": 0.4}
    for names in ({}, rates):
        network = load_network(tmp_path, model, 3, CPU, names)
        used = {m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)}
        used |= {getattr(network.config, "attention_dropout", 0.0)}
        assert ({0.2, 0.3, 0.4} <= used) == bool(names)


def test_a_rate_that_an_architecture_lacks_is_refused(tmp_path: Path) -> None:
    model = Model(title="", hub=HubModel(repo="a/b"), licence="", citation="",
                  random={"model_type": "mpnet", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1,
                          "num_attention_heads": 2})  # fmt: skip
    with pytest.raises(HarnessError, match="head_dropout: model type mpnet has no such dropout rate"):
        load_network(tmp_path, model, 3, CPU, {"head_dropout": 0.1})


def test_a_comparison_of_equal_passes_is_marked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"epochs": 1, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16}
    off = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "head_dropout": 0.0}
    variants = {
        "r-drop": {}, "mat-no-delta": {}, "mat": {}, "vanilla": {},
        "r-drop-off": {"of": "r-drop", "settings": off},
        "mat-off": {"of": "mat-no-delta", "settings": off},
        "shared": {"of": "r-drop", "arguments": {"dropout": "shared"}},
    }  # fmt: skip
    plan = toy_plan(tmp_path, settings=settings, variants=variants)
    for run in plan.runs:
        run_or_resume(plan, run, 1)
    silent = [row.variant for row in build_frame(plan) if row.perturbation == "no noise"]
    assert silent == ["r-drop-off", "mat-off", "shared"]
    assert sum("the passes that it compares are the same" in message for message in caplog.messages) == 3
    table = make_table("main", load_tables()["main"], plan.as_file(), build_frame(plan), {})
    assert [row[0] for row in table.blocks[0].rows if " n" in row[1] or "cn" in row[1]] == silent


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
