"""Devices: micro-batches, exhausted memory, loss scaling, threads; what can be tested on a CPU."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from support.experiments import toy_plan
from torch import Tensor

from harness.config.result import Result
from harness.engine.encoder import Encoder
from harness.engine.loss_scale import LossScale
from harness.engine.optim import ScheduledOptimizer
from harness.engine.rng import GeneratorDraws, GlobalStream
from harness.engine.trainer import train_batch
from harness.methods import adversary
from harness.methods.conformance import toy
from harness.methods.registry import method_names
from harness.runs import session
from harness.runs.checkpoint import Checkpoints
from harness.runs.device import choose_device, configure_torch
from harness.runs.folder import RunFolder
from harness.runs.run_or_resume import run_or_resume
from harness.runs.stop import InterruptedRunError
from harness.util.errors import HarnessError

SETTINGS = {"epochs": 2, "batch_size": 8, "train_rows": 16, "selection_rows": 16, "max_length": 16}
OFF = {"vanilla": {"arguments": {"dropout": "off"}}}


def gradients_of_steps(
    name: str, micro_batch: int | None, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """Return the parameters' gradients at every optimizer step of one batch, dropout off."""
    encoder, gradients = toy.encoder(outputs=outputs), []
    encoder.micro_batch = micro_batch
    optimizer = toy.optimizer(encoder)
    step = ScheduledOptimizer.step

    def recorded(self: ScheduledOptimizer) -> None:
        parts = [p.grad.flatten() for p in self.parameters if p.grad is not None]
        gradients.append(torch.cat(parts).clone())
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(ScheduledOptimizer, "step", recorded)
        train_batch(encoder, toy.build(name, dropout="off"), toy.batch(outputs), optimizer)
    return gradients


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("outputs", [3, 1], ids=["classification", "regression"])
@pytest.mark.parametrize("name", method_names())
def test_micro_batches_give_the_gradient_of_the_complete_batch(
    name: str, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = gradients_of_steps(name, None, outputs, monkeypatch)
    for micro_batch in (1, 3):
        parts = gradients_of_steps(name, micro_batch, outputs, monkeypatch)
        assert len(parts) == len(complete)
        for one, other in zip(parts, complete, strict=True):
            assert float((one - other).abs().max()) <= 1e-6 * float(other.abs().max())
        # The first gradient of a batch has the same weights, so it is equal up to rounding.
        assert torch.allclose(parts[0], complete[0], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("mode", ["independent", "shared"])
def test_a_micro_batch_is_computed_again_with_the_same_dropout_masks(mode: str) -> None:
    encoder, numeric = toy.encoder(), toy.encoder()
    encoder.micro_batch = numeric.micro_batch = 2
    with encoder.training_step(mode):
        loss = encoder.loss(encoder(toy.batch()).logits, toy.batch())
        encoder.backward(loss)
    weight = next(iter(encoder.named_parameters().values()))
    other = next(iter(numeric.named_parameters().values()))
    row = int(toy.batch().input_ids[0, 0])
    step = 1e-2
    with torch.no_grad():
        other[row, 0] += step
    with numeric.training_step(mode):
        moved = numeric.loss(numeric(toy.batch()).logits, toy.batch())
    assert weight.grad is not None
    slope = float(moved.detach() - loss.detach()) / step
    assert slope == pytest.approx(float(weight.grad[row, 0]), rel=0.05, abs=1e-4)


def test_counts_are_those_of_complete_batches() -> None:
    complete, parts = toy.encoder(), toy.encoder()
    parts.micro_batch = 3
    for encoder in (complete, parts):
        toy.steps(encoder, toy.build("mat"))
    assert vars(complete.meter) == vars(parts.meter)


def out_of_memory_above(size: int, monkeypatch: pytest.MonkeyPatch, after: int = 0) -> list[int]:
    """Let every pass over more than ``size`` examples run out of memory, after the first ``after`` passes."""
    sizes: list[int] = []
    compute = Encoder._compute

    def limited(self: Encoder, batch: Any, *rest: Any) -> Any:
        sizes.append(len(batch.input_ids))
        if len(batch.input_ids) > size and len(sizes) > after:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return compute(self, batch, *rest)

    monkeypatch.setattr(Encoder, "_compute", limited)
    return sizes


def finished(folder: Path, **changes: Any) -> tuple[Result, Tensor]:
    """Return the result of a run and the logits of its reported rows."""
    import pandas as pd

    folder.mkdir()
    plan = toy_plan(folder, **{"settings": SETTINGS, "variants": OFF, **changes})
    result = run_or_resume(plan, plan.runs[0], threads=1)
    table = pd.read_parquet(RunFolder(plan.run_folder(plan.runs[0])).predictions_path)
    return result, torch.tensor(table[["logit_0", "logit_1"]].to_numpy())


def test_out_of_memory_halves_the_micro_batch_with_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    complete, logits = finished(tmp_path / "complete")
    assert complete.flags["micro_batch"] is None
    requested, _ = finished(tmp_path / "requested", micro_batch=2)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        out_of_memory_above(2, patch, after=1)
        halved, close = finished(tmp_path / "halved")
    assert halved.flags["micro_batch"] == 2
    assert [r.message.split("; ")[1] for r in caplog.records if "out of memory" in r.message] == [
        "resuming with 4 examples at a time",
        "resuming with 2 examples at a time",
    ]
    assert halved.timeless() == requested.timeless()
    assert torch.allclose(close, logits, atol=1e-5)
    assert halved.cost.forward_passes == complete.cost.forward_passes


def test_out_of_memory_during_training_resumes_from_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, logits = finished(tmp_path / "complete")
    with monkeypatch.context() as patch:
        sizes = out_of_memory_above(4, patch, after=3)
        halved, close = finished(tmp_path / "halved", checkpoint_minutes=0.0)
    assert 8 in sizes and halved.flags["micro_batch"] == 4
    assert halved.cost.optimizer_steps == complete.cost.optimizer_steps
    assert torch.allclose(close, logits, atol=1e-5)
    provenance = next((tmp_path / "halved").rglob("provenance.json"))
    assert [one["after_batch"] for one in json.loads(provenance.read_text())["attempts"]] == [0, 2]


def test_one_example_that_does_not_fit_is_a_plain_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(HarnessError, match="with one example at a time"):
        finished(tmp_path / "none")
    assert session._half(None, 32) == 16 and session._half(3, 32) == 1


# --- fp16 with loss scaling (a CPU computes it, too, slowly)


def half_encoder() -> Encoder:
    return Encoder(
        toy.network(),
        regression=False,
        draws=GeneratorDraws(0, toy.CPU),
        dropout_stream=GlobalStream(0, toy.CPU),
        precision="fp16",
    )


@pytest.mark.parametrize("name", method_names())
def test_fp16_trains_every_method_close_to_fp32(name: str) -> None:
    full, half = toy.encoder(), half_encoder()
    for encoder in (full, half):
        train_batch(encoder, toy.build(name, dropout="off"), toy.batch(), toy.optimizer(encoder))
    one, other = (torch.cat([p.flatten() for p in toy.parameters(e).values()]) for e in (full, half))
    start = torch.cat([p.flatten() for p in toy.parameters(toy.encoder()).values()])
    moved, difference = (one - start).norm(), (one - other).norm()
    # The first AdamW step is the sign of the gradient, and rounding changes some signs.
    assert 0 < difference < 0.5 * moved


@pytest.mark.parametrize("name", ["freelb", "pgd", "smart", "smart-mtdnn", "creat", "mat", "freeat"])
def test_perturbations_see_unscaled_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, list[float]] = {"full": [], "half": []}
    ascend, token_norm = adversary.ascend, adversary.token_norm
    larger = {"mat": {"radius": 0.1, "start_size": 0.1, "step_size": 0.1}, "smart": {"noise": 0.1}}
    for label, encoder in (("full", toy.encoder()), ("half", half_encoder())):

        def recorded(gradient: Tensor, norms: list[float] = sizes[label]) -> Tensor:
            norms.append(float(gradient.norm()))
            return gradient

        with monkeypatch.context() as patch:
            patch.setattr(adversary, "ascend", lambda delta, g, *rest: ascend(delta, recorded(g), *rest))
            patch.setattr(adversary, "token_norm", lambda g: token_norm(recorded(g)))
            method = toy.build(name, dropout="off", **larger.get(name, {}))
            train_batch(encoder, method, toy.batch(), toy.optimizer(encoder))
    assert sizes["full"] and sizes["half"] == pytest.approx(sizes["full"], rel=0.2)


def test_an_overflow_leaves_the_step_out_and_lowers_the_scale() -> None:
    encoder = half_encoder()
    optimizer = toy.optimizer(encoder)
    assert encoder.loss_scale is not None
    scale = encoder.loss_scale.scaler.get_scale()
    before = toy.parameters(encoder)
    for parameter in encoder.named_parameters().values():
        parameter.grad = torch.full_like(parameter, float("inf"))
    encoder.loss_scale.up(torch.ones(()))
    optimizer.step()
    assert toy.largest_difference(before, toy.parameters(encoder)) == 0
    assert encoder.loss_scale.scaler.get_scale() == scale / 2
    resumed = half_encoder()
    toy.optimizer(resumed).load_state(optimizer.state())
    assert resumed.loss_scale is not None and resumed.loss_scale.scaler.get_scale() == scale / 2


@pytest.mark.parametrize("scale", [2.0**24, 2.0**30])
@pytest.mark.parametrize("name", method_names())
def test_an_overflow_anywhere_in_a_step_leaves_it_out(name: str, scale: float) -> None:
    """Also in the gradient of a perturbation, which then is NaN."""
    encoder, method = half_encoder(), toy.build(name)
    assert encoder.loss_scale is not None
    encoder.loss_scale.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    optimizer = toy.optimizer(encoder)
    train_batch(encoder, method, toy.batch(), optimizer)
    assert encoder.meter.skipped_steps > 0
    assert encoder.loss_scale.scaler.get_scale() < scale
    assert encoder.meter.passes() == method.passes(method.arguments)
    assert all(bool(p.isfinite().all()) for p in encoder.named_parameters().values())


@pytest.mark.parametrize("variant", ["vanilla", "pgd", "creat", "freelb", "smart", "mat"])
def test_a_run_whose_first_scale_is_too_large_trains_with_a_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    monkeypatch.setattr(session, "choose_device", lambda *_: toy.CPU)
    first = torch.amp.GradScaler("cpu", init_scale=2.0**26)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda _: first)
    plan = toy_plan(tmp_path, settings={**SETTINGS, "epochs": 8, "precision": "fp16"}, variants=[variant])
    result = run_or_resume(plan, plan.runs[0], threads=1)
    assert result.status != "diverged"
    declared = plan.runs[0].cell.method.passes(plan.runs[0].cell.method.arguments).times(16)
    assert 0 < result.cost.optimizer_steps < declared.optimizer_steps


def test_a_loss_that_no_scale_makes_finite_is_a_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "choose_device", lambda *_: toy.CPU)
    loss = Encoder.example_losses
    monkeypatch.setattr(Encoder, "example_losses", lambda self, *rest: loss(self, *rest) * float("nan"))
    plan = toy_plan(tmp_path, settings={**SETTINGS, "epochs": 20, "precision": "fp16"})
    result = run_or_resume(plan, plan.runs[0], threads=1)
    assert result.status == "diverged" and result.cost.optimizer_steps == 0


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "electra", "deberta-v2", "modernbert"])
def test_the_head_computes_in_float32(family: str) -> None:
    encoder = Encoder(
        toy.network(family),
        regression=False,
        draws=GeneratorDraws(0, toy.CPU),
        dropout_stream=GlobalStream(0, toy.CPU),
        precision="bf16",
    )
    with encoder.training_step("independent"):
        result = encoder(toy.batch())
        encoder.backward(encoder.loss(result.logits, toy.batch()))
    assert not torch.equal(result.logits, result.logits.bfloat16().float())
    assert all(p.grad is not None for name, p in encoder.named_parameters().items() if "classifier" in name)


def test_a_copied_encoder_has_its_own_head() -> None:
    encoder = Encoder(
        toy.network(),
        regression=False,
        draws=GeneratorDraws(0, toy.CPU),
        dropout_stream=GlobalStream(0, toy.CPU),
        precision="bf16",
    )
    network = copy.deepcopy(encoder.network)
    with torch.no_grad():
        before = network.classifier(torch.ones(1, 16))
        encoder.network.classifier.weight.zero_()
        assert torch.equal(network.classifier(input=torch.ones(1, 16)), before)


def test_a_leaf_is_guarded_once() -> None:
    scale, leaf = LossScale(toy.CPU), torch.ones(2, requires_grad=True)
    for _ in range(2):
        scale.guard(leaf * 2)
    scale.up((leaf * 3).sum()).backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [3.0, 3.0]


def test_fp16_and_cuda_need_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plan = toy_plan(tmp_path, settings={**SETTINGS, "precision": "fp16"})
    with pytest.raises(HarnessError, match="fp16 needs a GPU"):
        run_or_resume(plan, plan.runs[0], threads=1)
    assert not plan.tokens_folder(plan.runs[0].cell).exists()
    with pytest.raises(HarnessError, match="torch finds no GPU"):
        choose_device("cuda", "fp32")
    assert choose_device("auto", "bf16") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", "fp16") == torch.device("cuda")
    assert choose_device("cpu", "fp32") == torch.device("cpu")


def test_a_run_that_was_started_on_another_kind_of_device_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = toy_plan(tmp_path, settings=SETTINGS, checkpoint_minutes=0.0)
    with pytest.raises(InterruptedRunError):
        run_or_resume(plan, plan.runs[0], 1, True)  # type: ignore[arg-type]
    newest = Checkpoints.newest

    def elsewhere(self: Checkpoints) -> Any:
        state = newest(self)
        assert state is not None
        state.facts["device"] = "cuda"
        return state

    monkeypatch.setattr(Checkpoints, "newest", elsewhere)
    with pytest.raises(HarnessError, match="started on cuda and cannot resume on cpu"):
        run_or_resume(plan, plan.runs[0], threads=1)


# --- settings of torch


def test_threads_are_never_more_than_the_machine_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, threads = toy_plan(tmp_path).experiment, torch.get_num_threads()
    try:
        with caplog.at_level(logging.INFO):
            configure_torch(experiment, 10_000)
        assert torch.get_num_threads() < 10_000
        assert "10000 threads requested" in caplog.text
        configure_torch(experiment, 1)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_float32_matmul_precision() == "highest"
        configure_torch(experiment.model_copy(update={"tf32": True, "deterministic": False}), 1)
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        configure_torch(experiment, threads)
        torch.use_deterministic_algorithms(False)


def test_an_unknown_device_is_reported_with_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="device: expected 'auto', 'cpu' or 'cuda'"):
        toy_plan(tmp_path, device="gpu")
