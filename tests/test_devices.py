"""Devices: parts of a batch, memory that runs out, loss scaling, threads; what a CPU can show of them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import toyplan
from torch import Tensor

from harness.core.encoder import Encoder
from harness.core.loop import train_batch
from harness.core.loss_scale import LossScale
from harness.core.streams import GeneratorDraws, GlobalStream
from harness.core.update import Update
from harness.errors import HarnessError
from harness.methods import adversary
from harness.methods.conformance import toy
from harness.methods.registry import method_names
from harness.plan import catalogue
from harness.runs.checkpoint import Checkpoints
from harness.runs.device import choose_device, next_smaller, settle_torch
from harness.runs.execute import InterruptedRunError, execute
from harness.runs.folder import RunFolder
from harness.runs.record import Result

SETTINGS = {"epochs": 2, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16}
OFF = {"vanilla": {"arguments": {"dropout": "off"}}}


def gradients(
    name: str, micro_batch: int | None, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """Return the parameters' gradients at every optimizer step of one batch, dropout off."""
    made, found = toy.encoder(outputs=outputs), []
    made.micro_batch = micro_batch
    optimizer = toy.update(made)
    step = Update.step

    def noted(self: Update) -> None:
        found.append(torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None]).clone())
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Update, "step", noted)
        train_batch(made, toy.build(name, dropout="off"), toy.batch(outputs), optimizer)
    return found


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])
@pytest.mark.parametrize("name", method_names())
def test_a_batch_in_parts_gives_the_gradient_of_the_whole_one(
    name: str, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gradients(name, None, outputs, monkeypatch)
    for micro_batch in (1, 3):
        parts = gradients(name, micro_batch, outputs, monkeypatch)
        assert len(parts) == len(whole)
        for one, other in zip(parts, whole, strict=True):
            assert float((one - other).abs().max()) <= 1e-6 * float(other.abs().max())
        # The first gradient of a batch is that of the same weights: it agrees to rounding.
        assert torch.allclose(parts[0], whole[0], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("mode", ["independent", "shared"])
def test_a_part_is_computed_again_with_its_own_dropout_masks(mode: str) -> None:
    made = toy.encoder()
    made.micro_batch = 2
    with made.training_step(mode):
        loss = made.loss(made(toy.batch()).logits, toy.batch())
        made.backward(loss)
    numeric = toy.encoder()
    numeric.micro_batch = 2
    weight = next(iter(made.named_parameters().values()))
    other = next(iter(numeric.named_parameters().values()))
    row = int(toy.batch().ids[0, 0])
    step = 1e-2
    with torch.no_grad():
        other[row, 0] += step
    with numeric.training_step(mode):
        moved = numeric.loss(numeric(toy.batch()).logits, toy.batch())
    assert weight.grad is not None
    slope = float(moved.detach() - loss.detach()) / step
    assert slope == pytest.approx(float(weight.grad[row, 0]), rel=0.05, abs=1e-4)


def test_counts_are_those_of_whole_batches() -> None:
    whole, parts = toy.encoder(), toy.encoder()
    parts.micro_batch = 3
    for made in (whole, parts):
        toy.steps(made, toy.build("mat"))
    assert vars(whole.meter) == vars(parts.meter)


def out_of_memory_above(size: int, monkeypatch: pytest.MonkeyPatch, after: int = 0) -> list[int]:
    """Let every pass over more examples run out of memory, once some have gone well."""
    seen: list[int] = []
    compute = Encoder._compute

    def limited(self: Encoder, batch: Any, *rest: Any) -> Any:
        seen.append(len(batch.ids))
        if len(batch.ids) > size and len(seen) > after:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return compute(self, batch, *rest)

    monkeypatch.setattr(Encoder, "_compute", limited)
    return seen


def finished(folder: Path, **changes: Any) -> tuple[Result, Tensor]:
    """Return the record of a run and the logits of its reported rows."""
    import pandas as pd

    folder.mkdir()
    plan = toyplan.plan(folder, **{"settings": SETTINGS, "variants": OFF, **changes})
    result = execute(plan, plan.runs[0], 1)
    table = pd.read_parquet(RunFolder(plan.run_folder(plan.runs[0])).predictions_path)
    return result, torch.tensor(table[["logit_0", "logit_1"]].to_numpy())


def test_out_of_memory_halves_what_is_computed_at_a_time_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, logits = finished(tmp_path / "whole")
    assert whole.flags["micro_batch"] is None
    asked, _ = finished(tmp_path / "asked", micro_batch=2)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        out_of_memory_above(2, patch, after=1)
        halved, close = finished(tmp_path / "halved")
    assert halved.flags["micro_batch"] == 2
    assert [r.message.split("; ")[1] for r in caplog.records if "out of memory" in r.message] == [
        "goes on with 4 examples at a time",
        "goes on with 2 examples at a time",
    ]
    assert halved.timeless() == asked.timeless()
    assert torch.allclose(close, logits, atol=1e-5)
    assert halved.cost.forward_passes == whole.cost.forward_passes


def test_out_of_memory_in_mid_training_goes_on_from_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, logits = finished(tmp_path / "whole")
    with monkeypatch.context() as patch:
        seen = out_of_memory_above(4, patch, after=3)
        halved, close = finished(tmp_path / "halved", checkpoint_minutes=0.0)
    assert 8 in seen and halved.flags["micro_batch"] == 4
    assert halved.cost.optimizer_steps == whole.cost.optimizer_steps
    assert torch.allclose(close, logits, atol=1e-5)
    provenance = next((tmp_path / "halved").rglob("provenance.json"))
    assert [one["after_batch"] for one in json.loads(provenance.read_text())["tries"]] == [0, 2]


def test_one_example_that_does_not_fit_is_a_plain_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(HarnessError, match="with one example at a time"):
        finished(tmp_path / "none")
    assert next_smaller(None, 32) == 16 and next_smaller(3, 32) == 1


# --- fp16 with loss scaling (the CPU computes it too, slowly)


def half_encoder() -> Encoder:
    return Encoder(
        toy.network(),
        regression=False,
        draws=GeneratorDraws(0, toy.CPU),
        dropout_stream=GlobalStream(0, toy.CPU),
        precision="fp16",
    )


def half_update(made: Encoder) -> Update:
    protocol = catalogue.protocol("honest").model_copy(update={"warmup": 0.0, "learning_rate": 1e-3})
    return Update(made.network, protocol, 10, made.meter, made.loss_scale)


@pytest.mark.parametrize("name", method_names())
def test_fp16_trains_every_method_close_to_fp32(name: str) -> None:
    full, half = toy.encoder(), half_encoder()
    updates = toy.update(full), half_update(half)
    for made, update in zip((full, half), updates, strict=True):
        train_batch(made, toy.build(name, dropout="off"), toy.batch(), update)
    one, other = (torch.cat([p.flatten() for p in toy.parameters(made).values()]) for made in (full, half))
    start = torch.cat([p.flatten() for p in toy.parameters(toy.encoder()).values()])
    moved, apart = (one - start).norm(), (one - other).norm()
    assert 0 < apart < 0.5 * moved  # AdamW's first step is the sign of the gradient: rounding turns some


@pytest.mark.parametrize("name", ["freelb", "pgd", "smart", "smart-mtdnn", "creat", "mat", "freeat"])
def test_perturbations_see_unscaled_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, list[float]] = {"full": [], "half": []}
    ascend, token_norm = adversary.ascend, adversary.token_norm
    larger = {"mat": {"radius": 0.1, "start_size": 0.1, "step_size": 0.1}, "smart": {"noise": 0.1}}
    for label, made in (("full", toy.encoder()), ("half", half_encoder())):

        def noted(gradient: Tensor, seen: list[float] = sizes[label]) -> Tensor:
            seen.append(float(gradient.norm()))
            return gradient

        with monkeypatch.context() as patch:
            patch.setattr(adversary, "ascend", lambda delta, g, *rest: ascend(delta, noted(g), *rest))
            patch.setattr(adversary, "token_norm", lambda g: token_norm(noted(g)))
            update = toy.update(made) if label == "full" else half_update(made)
            train_batch(made, toy.build(name, dropout="off", **larger.get(name, {})), toy.batch(), update)
    assert sizes["full"] and sizes["half"] == pytest.approx(sizes["full"], rel=0.2)


def test_an_overflow_leaves_the_step_out_and_lowers_the_scale() -> None:
    made = half_encoder()
    update = half_update(made)
    assert made.loss_scale is not None
    scale = made.loss_scale.scaler.get_scale()
    before = toy.parameters(made)
    for parameter in made.named_parameters().values():
        parameter.grad = torch.full_like(parameter, float("inf"))
    made.loss_scale.up(torch.ones(()))
    update.step()
    assert toy.largest_difference(before, toy.parameters(made)) == 0
    assert made.loss_scale.scaler.get_scale() == scale / 2
    again = half_encoder()
    resumed = half_update(again)
    resumed.load_state(update.state())
    assert again.loss_scale is not None and again.loss_scale.scaler.get_scale() == scale / 2


def test_a_leaf_is_guarded_once() -> None:
    scale, leaf = LossScale(toy.CPU), torch.ones(2, requires_grad=True)
    for _ in range(2):
        scale.guard(leaf * 2)
    scale.up((leaf * 3).sum()).backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [3.0, 3.0]


def test_fp16_needs_a_gpu_and_cuda_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plan = toyplan.plan(tmp_path, settings={**SETTINGS, "precision": "fp16"})
    with pytest.raises(HarnessError, match="fp16 needs a GPU"):
        execute(plan, plan.runs[0], 1)
    assert not plan.tokens_folder(plan.runs[0].cell).exists()
    with pytest.raises(HarnessError, match="torch sees no GPU here"):
        choose_device("cuda", "fp32")
    assert choose_device("auto", "bf16") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", "fp16") == torch.device("cuda")
    assert choose_device("cpu", "fp32") == torch.device("cpu")


def test_a_run_begun_on_another_kind_of_device_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = toyplan.plan(tmp_path, settings=SETTINGS, checkpoint_minutes=0.0)
    with pytest.raises(InterruptedRunError):
        execute(plan, plan.runs[0], 1, True)  # type: ignore[arg-type]
    newest = Checkpoints.newest

    def elsewhere(self: Checkpoints) -> Any:
        state = newest(self)
        assert state is not None
        state.facts["device"] = "cuda"
        return state

    monkeypatch.setattr(Checkpoints, "newest", elsewhere)
    with pytest.raises(HarnessError, match="begun on cuda and cannot go on with cpu"):
        execute(plan, plan.runs[0], 1)


# --- how torch is set


def test_threads_are_never_more_than_the_machine_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, threads = toyplan.plan(tmp_path).experiment, torch.get_num_threads()
    try:
        with caplog.at_level(logging.INFO):
            settle_torch(experiment, 10_000)
        assert torch.get_num_threads() < 10_000
        assert "10000 threads asked for" in caplog.text
        settle_torch(experiment, 1)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_float32_matmul_precision() == "highest"
        settle_torch(experiment.model_copy(update={"tf32": True, "deterministic": False}), 1)
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        settle_torch(experiment, threads)
        torch.use_deterministic_algorithms(False)


def test_how_runs_are_computed_is_in_no_key(tmp_path: Path) -> None:
    plain = toyplan.plan(tmp_path)
    other = toyplan.plan(
        tmp_path, device="cpu", deterministic=False, tf32=True, micro_batch=4, checkpoint_minutes=1.0
    )
    assert [run.key for run in plain.runs] == [run.key for run in other.runs]
    with pytest.raises(HarnessError, match="device: expected 'auto', 'cpu' or 'cuda'"):
        toyplan.plan(tmp_path, device="gpu")
