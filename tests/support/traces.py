"""Replay of recorded traces of the authors' codes through our methods, encoder, optimizer and loop.

Only the random source is replaced: each request of the method gets the next recorded draw. Draws have the
padded shape [B, L, D], with and without unpadding.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.engine.encoder import Encoder
from harness.engine.optim import ScheduledOptimizer
from harness.engine.recorder import Recorder
from harness.engine.rng import GlobalStream
from harness.engine.trainer import train_batch
from harness.methods.interface import Batch, Method
from harness.methods.registry import method_class
from harness.util.paths import ROOT
from support.trace_settings import family, horizon, method_of, protocol_of

TRACES = ROOT / "tests" / "data" / "golden"
ALL_TRACES = ROOT.parent / "shared" / "golden"
"""All traces, beside the repository; used if the folder exists."""

TOLERANCE = 1e-9
STATE32_TOLERANCE = 2e-7


class Replay:
    """Recorded draws."""

    def __init__(self) -> None:
        self.queue: list[Tensor] = []

    def normal(self, like: Tensor) -> Tensor:
        draw = self.queue.pop(0).to(like)
        assert draw.shape == like.shape
        return draw

    uniform = normal  # queued in [0, 1)


@dataclass
class Case:
    """One trace, with the objects that replay it."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    batches: list[Batch]
    encoder: Encoder
    optimizer: ScheduledOptimizer
    method: Method
    draws: Replay
    calls: list[tuple[float, float]] = field(default_factory=list)
    first_gradient: dict[str, Tensor] = field(default_factory=dict)

    @property
    def recorder(self) -> Recorder:
        assert self.encoder.recorder is not None
        return self.encoder.recorder

    @property
    def adamw(self) -> torch.optim.Optimizer:
        return self.optimizer._adamw

    draws_at_rate_zero = False
    """Whether noise is drawn for the parameters at learning rate 0, where its size is 0."""

    def train(self, batch: Batch) -> float:
        return train_batch(self.encoder, self.method, batch, self.optimizer)


def load_case(folder: Path, name: str, fast: bool = False) -> Case:
    """Return the trace ``name`` of a folder, with the objects that replay it."""
    facts = json.loads((folder / f"{name}.json").read_text())
    tensors = load_file(folder / f"{name}.safetensors")
    if facts["rand"].startswith("in file "):
        other = load_file(folder / facts["rand"].removeprefix("in file "))
        tensors |= {k: v for k, v in other.items() if k.startswith("rand/")}
    values = load_file(folder / f"{facts['base']}.safetensors")
    draws = Replay()
    encoder = Encoder(
        plain_network(folder, facts),
        regression=facts["task"].startswith("regression"),
        draws=draws,
        dropout_stream=GlobalStream(0, torch.device("cpu")),
        fast=fast,
    )
    name_of_method, arguments = method_of(facts)
    kind = method_class(name_of_method)
    method = kind(kind.Arguments(**arguments))
    encoder.recorder = Recorder(method.perturbs(method.arguments))
    batches = _batches(values)
    optimizer = ScheduledOptimizer(
        encoder.network, protocol_of(facts, len(batches)), horizon(facts, len(batches)), encoder.meter
    )
    case = Case(facts, tensors, batches, encoder, optimizer, method, draws)
    record_optimizer(case)
    return case


def plain_network(folder: Path, facts: dict[str, Any]) -> Any:
    """Return the network that a trace starts from."""
    import transformers

    base = json.loads((folder / f"{facts['base']}.json").read_text())
    values = load_file(folder / f"{facts['base']}.safetensors")
    kind = getattr(transformers, base["model_class"])
    config = kind.config_class(attn_implementation="eager", **base["config"])
    network = kind(config).double()
    initial = {k.removeprefix("init/"): v for k, v in values.items() if k.startswith("init/")}
    network.load_state_dict(initial)
    return network


def _batches(values: dict[str, Tensor]) -> list[Batch]:
    count = len({key.split("/")[0] for key in values if key.startswith("batch")})
    batches = []
    for t in range(1, count + 1):
        ids, mask, labels = (values[f"batch{t}/{k}"] for k in ("input_ids", "attention_mask", "labels"))
        types = values.get(f"batch{t}/token_type_ids", torch.zeros_like(ids))
        labels = labels.double() if labels.is_floating_point() else labels
        batches.append(Batch(ids, mask, types, labels, int(mask.sum())))
    return batches


def record_optimizer(case: Case) -> None:
    """Record the learning rate and gradient norm of every AdamW call, and the first gradient."""
    adamw = case.adamw
    plain = adamw.step

    def step(*_: Any, **__: Any) -> None:
        gradients = {n: p.grad for n, p in case.encoder.named_parameters().items() if p.grad is not None}
        if not case.calls:
            case.first_gradient = {name: g.clone() for name, g in gradients.items()}
        norm = torch.stack([g.norm() for g in gradients.values()]).norm()
        case.calls.append((case.optimizer.learning_rate, float(norm)))
        plain()

    adamw.step = step


def queue_draws(case: Case, t: int) -> None:
    """Queue the draws of batch t in the order in which the method requests them."""
    prefix = f"rand/step{t}/"
    rand = {k.removeprefix(prefix): v for k, v in case.tensors.items() if k.startswith(prefix)}
    values = case.facts["hyper_parameters"]
    if "delta_init_uniform" in rand:  # U(-1, 1), for linf already scaled
        draw = rand["delta_init_uniform"].double()
        draw = draw / values["adv_init_mag"] if values["norm_type"] == "linf" else draw
        case.draws.queue.append((draw + 1) / 2)
    # For a regression, the noisy pass of R3F is in no loss: ours is not computed, and draws nothing.
    noise = () if case.encoder.regression else ("noise_normal", "noise_u01")
    for name in ("delta_noise_init", "delta_init", *noise):
        if name in rand:
            case.draws.queue.append(rand[name])
    if "delta_noise/1" in rand:
        case.draws.queue += [rand[f"delta_noise/{k + 1}"] for k in range(values["sampling_times_delta"])]
        drawn = case.optimizer.learning_rate > 0 or case.draws_at_rate_zero
        steps = values["sampling_times_theta"] if drawn else 0
        for k in range(steps):
            case.draws.queue += [rand[f"theta_noise/{k + 1}/{n}"] for n in case.encoder.named_parameters()]


def replay(case: Case) -> dict[str, float]:
    """Train on all batches; return the largest difference of each kind, relative to values above 1."""
    worst: dict[str, float] = {}

    def compare(kind: str, ours: Any, theirs: Any) -> None:
        one, two = torch.as_tensor(ours), torch.as_tensor(theirs)
        assert one.shape == two.shape, f"{kind}: {tuple(one.shape)} and {tuple(two.shape)}"
        gap = ((one - two).abs() / two.abs().clamp_min(1.0)).max() if two.numel() else torch.zeros(())
        worst[kind] = max(worst.get(kind, 0.0), float(gap))

    for t, batch in enumerate(case.batches, start=1):
        queue_draws(case, t)
        recorder = case.recorder
        recorder.losses.clear()
        recorder.perturbations.clear()
        loss = case.train(batch)
        assert not case.draws.queue, "unused draws"
        compare("loss", loss, expected_loss(case.facts, t, len(batch.labels)))
        if "pass_loss" in case.facts["scalars"][f"step{t}"]:
            compare("pass_loss", recorder.losses, case.facts["scalars"][f"step{t}"]["pass_loss"])
        _compare_deltas(case, t, compare)
        _compare_states(case, t, compare)
    calls = case.facts["optimizer_calls"]
    compare("rate", [c[0] for c in case.calls], [c["lr"][0] for c in calls])
    compare("gradient_norm", [c[1] for c in case.calls], [c["grad_norm"] for c in calls])
    recorded = {
        k.removeprefix("grad/first/"): v for k, v in case.tensors.items() if k.startswith("grad/first/")
    }
    assert set(recorded) == set(case.first_gradient)
    for name, value in recorded.items():
        compare("gradient", case.first_gradient[name], value)
    return worst


def _compare_deltas(case: Case, t: int, compare: Any) -> None:
    """Compare the perturbation of each perturbed pass with the recorded one."""
    ours, last = [p.delta for p in case.recorder.perturbations], f"step{t}/delta_final"
    recorded = {int(k.split("/")[-1]): v for k, v in case.tensors.items() if k.startswith(f"step{t}/delta/")}
    for k, value in recorded.items():
        # MAT's last sample is in no pass, only in the mean.
        if k < len(ours) and not (f"step{t}/mean_delta" in case.tensors and k >= _samples(case)):
            compare("delta", ours[k], value)
    if f"step{t}/mean_delta" in case.tensors:
        compare("mean_delta", ours[-1], case.tensors[f"step{t}/mean_delta"])
    elif last in case.tensors and ours:
        compare("delta", ours[-1], case.tensors[last])


def _samples(case: Case) -> int:
    return int(case.facts["hyper_parameters"]["sampling_times_delta"])


def _compare_states(case: Case, t: int, compare: Any) -> None:
    ours = case.encoder.named_parameters()
    for kind in ("state", "state32", "teacher"):
        prefix = f"{kind}/step{t}/"
        recorded = {k.removeprefix(prefix): v for k, v in case.tensors.items() if k.startswith(prefix)}
        if recorded:
            mine = case.method.state() if kind == "teacher" else ours
            assert set(recorded) == set(mine) - {"batches"}
            for name, value in recorded.items():
                compare(kind, mine[name].detach(), value.double())


def expected_loss(facts: dict[str, Any], t: int, batch_size: int) -> float:
    """Return the loss of a batch as our methods report it: the mean over passes or samples."""
    scalars = facts["scalars"][f"step{t}"]
    if family(facts["case"]).startswith("pgd"):
        return float(scalars["pass_loss"][-1])
    for key in ("theta_loop_total", "pass_loss", "total_loss", "total_loss_mean"):
        if key in scalars:
            return float(sum(scalars[key]) / len(scalars[key]))
    return float(scalars["total_loss_sum"][0]) / batch_size


def within_tolerance(worst: dict[str, float]) -> bool:
    return all(gap < (STATE32_TOLERANCE if kind == "state32" else TOLERANCE) for kind, gap in worst.items())
