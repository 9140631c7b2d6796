"""Model types of transformers: each trains with the logits of the library, or is refused with a reason."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.architectures import UNSUPPORTED, unsupported
from harness.config.model import Model
from harness.data.pretrained import load_network, model_type
from harness.engine.encoder import Encoder
from harness.engine.rng import GeneratorDraws, GlobalStream
from harness.methods.conformance import toy
from harness.util.errors import HarnessError

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
COMMON = {"vocab_size": 50, "pad_token_id": 0}
POSITIONS = {"max_position_embeddings": 64}
REFUSED: dict[str, dict[str, Any]] = {
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
    "longformer": {**SIZES, **POSITIONS, "attention_window": 4},
    "reformer": {"hidden_size": 16, "attn_layers": ["local"], "axial_pos_embds": False, "is_decoder": False},
    "t5": {"d_model": 16, "num_layers": 2, "num_heads": 2, "d_ff": 32, "d_kv": 8},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": SIZES,
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 2},
}
MOBILE = {"embedding_size": 16, "true_hidden_size": 8, "intra_bottleneck_size": 8}
ALBERT = {"embedding_size": 8}
TRAINED: dict[str, tuple[bool, dict[str, Any]]] = {
    "bert": (False, {**SIZES, **POSITIONS}),
    "roberta": (False, {**SIZES, **POSITIONS}),
    "xlm-roberta": (False, {**SIZES, **POSITIONS}),
    "electra": (False, {**SIZES, **POSITIONS}),
    "albert": (False, {**SIZES, **POSITIONS, **ALBERT}),
    "mobilebert": (False, {**SIZES, **POSITIONS, **MOBILE}),
    "distilbert": (True, {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
    "deberta-v2": (True, {**SIZES, **POSITIONS}),
    "mpnet": (True, {**SIZES, **POSITIONS}),
    "rembert": (True, {**SIZES, **POSITIONS}),
    "modernbert": (True, {**SIZES, **POSITIONS}),
    "funnel": (True, {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32}),
}
"""Model type to (whether it computes padding, configuration)."""
STEPS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "freelb": {"start": 1e-6, "step_size": 1e-6},
    "mat": {"steps_theta": 1, "step_size": 1e-6},
}
"""Steps whose loss is nearly that of a plain forward pass."""


def encoder(network: Any, fast: bool = True) -> Encoder:
    return Encoder(
        network,
        regression=False,
        draws=GeneratorDraws(0, toy.CPU),
        dropout_stream=GlobalStream(0, toy.CPU),
        fast=fast,
    )


def network(family: str, **values: Any) -> Any:
    """Return a tiny random classifier as the library makes it."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    with GlobalStream(0, toy.CPU).active():
        config = AutoConfig.for_model(family, num_labels=3, **COMMON, **values)
        return AutoModelForSequenceClassification.from_config(config).to(torch.get_default_dtype())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", TRAINED)
def test_supported_types_have_the_logits_of_the_library_and_train(family: str) -> None:
    padded, values = TRAINED[family]
    library, batch = network(family, **values).eval(), toy.batch()
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if getattr(library.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = batch.token_type_ids
    with torch.no_grad():
        expected = library(**inputs).logits
        loss = float(nn.functional.cross_entropy(expected, batch.labels))
    for name, arguments in STEPS.items():
        for fast in (True, False):
            ours = encoder(network(family, **values), fast)
            assert ours.padded is (padded or not fast)
            ours.network.eval()
            with torch.no_grad():
                assert float((ours(batch).logits - expected).abs().max()) < 1e-9
            before = toy.parameters(ours)
            (first,) = toy.steps(ours, toy.build(name, dropout="off", **arguments), count=1)
            assert first == pytest.approx(loss, rel=1e-4)
            assert toy.largest_difference(before, toy.parameters(ours)) > 0


@pytest.mark.parametrize("family", REFUSED)
def test_unsupported_types_are_refused_with_type_and_reason(family: str, tmp_path: Path) -> None:
    reason = UNSUPPORTED[family]
    values = {"model_type": family, **COMMON, **REFUSED[family]}
    model = Model(title="", hub={"repo": "a/b"}, random=values, licence="", citation="")
    assert model_type(tmp_path, model) == family and unsupported(family) == reason
    message = f"model type {family} is not supported: {reason}"
    with pytest.raises(HarnessError) as refused:
        load_network(tmp_path, model, 3, toy.CPU)
    assert str(refused.value) == message
    with pytest.raises(HarnessError) as refused:
        encoder(network(family, **REFUSED[family]))
    assert str(refused.value) == message


@pytest.mark.parametrize("family", ["xlnet", "gpt2", "llama", "xlm"])
def test_networks_without_an_embedding_layer_are_refused_without_the_table(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.config.architectures.UNSUPPORTED", {})
    with pytest.raises(
        HarnessError, match=f"model type {family} is not supported: it has no embedding layer"
    ):
        encoder(network(family, **REFUSED[family]))


def test_encoders_without_a_last_hidden_state_are_refused() -> None:
    bert = network("bert", **TRAINED["bert"][1])
    ours = encoder(bert, fast=False)
    bert.bert.register_forward_hook(lambda *_: ("states",), prepend=True)
    with pytest.raises(HarnessError, match=r"model type bert .* returns no last_hidden_state"):
        ours(toy.batch())


def test_the_model_type_is_read_from_the_files_of_the_model(tmp_path: Path) -> None:
    model = Model(title="", hub={"repo": "a/b"}, licence="", citation="")
    assert model_type(tmp_path, model) is None
    (tmp_path / "config.json").write_text('{"model_type": "longformer"}')
    assert model_type(tmp_path, model) == "longformer"
    with pytest.raises(HarnessError, match="model type longformer is not supported: it pads inputs"):
        load_network(tmp_path, model, 3, toy.CPU)
