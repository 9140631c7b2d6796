"""Replay of recorded traces of the authors' codes through our own methods, engine and optimizer.

Only the random source is replaced: the recorded draws are handed out in the order in which the
method asks for them, in the padded shape that it asks for.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.core.encoder import Encoder
from harness.core.streams import GlobalStream
from harness.core.update import Update
from harness.methods.interface import Batch, Method
from harness.methods.registry import method_class
from harness.plan import catalogue
from harness.plan.protocol import Protocol

BATCHES = 4
TOLERANCE = 1e-9


class Replay:
    """Draws that were recorded."""

    def __init__(self) -> None:
        self.queue: list[Tensor] = []

    def normal(self, like: Tensor) -> Tensor:
        return self._next(like)

    def uniform(self, like: Tensor) -> Tensor:
        return (self._next(like) + 1) / 2  # the traces hold draws in [-1, 1)

    def _next(self, like: Tensor) -> Tensor:
        draw = self.queue.pop(0).to(like)
        assert draw.shape == like.shape
        return draw


@dataclass
class Case:
    """One trace, with the objects that replay it."""

    name: str
    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    batches: list[Batch]
    encoder: Encoder
    update: Update
    method: Method
    draws: Replay

    def rand(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.tensors.items() if k.startswith("rand/")}


def load_case(folder: Path, name: str, pack: bool = False) -> Case:
    facts = json.loads((folder / f"{name}.json").read_text())
    tensors = load_file(folder / f"{name}.safetensors")
    if facts["rand"].startswith("in file "):
        other = load_file(folder / facts["rand"].removeprefix("in file "))
        tensors |= {k: v for k, v in other.items() if k.startswith("rand/")}
    base = json.loads((folder / f"{facts['base']}.json").read_text())
    values = load_file(folder / f"{facts['base']}.safetensors")
    draws = Replay()
    network = _network(base, values)
    encoder = Encoder(
        network,
        regression=facts["task"].startswith("regression"),
        draws=draws,
        dropout_stream=GlobalStream(0, torch.device("cpu")),
        pack=pack,
    )
    method_name, arguments = method_of(facts)
    kind = method_class(method_name)
    update = Update(network, protocol_of(facts), BATCHES, encoder.meter)
    return Case(
        name,
        facts,
        tensors,
        list(_batches(values)),
        encoder,
        update,
        kind(kind.Arguments(**arguments)),
        draws,
    )


def _network(base: dict[str, Any], values: dict[str, Tensor]) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.for_model("bert", attn_implementation="eager", **base["config"])
    network = AutoModelForSequenceClassification.from_config(config).double()
    initial = {k.removeprefix("init/"): v for k, v in values.items() if k.startswith("init/")}
    network.load_state_dict(initial)
    return network


def _batches(values: dict[str, Tensor]) -> Iterator[Batch]:
    for t in range(1, BATCHES + 1):
        ids, mask, types, labels = (
            values[f"batch{t}/{k}"] for k in ("input_ids", "attention_mask", "token_type_ids", "labels")
        )
        if labels.is_floating_point():
            labels = labels.double()
        yield Batch(ids, mask, types, labels, int(mask.sum()))


def method_of(facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return our method and arguments for a trace's hyper-parameters."""
    given = facts["hyper_parameters"]
    case = facts["case"]
    if case.startswith("vanilla"):
        return "vanilla", {}
    if case.startswith("freelb_hf"):
        return "freelb", {
            "steps": given["adv_steps"],
            "step_size": given["adv_lr"],
            "start": given["adv_init_mag"],
            "radius": given["adv_max_norm"],
            "norm": given["norm_type"],
        }
    if case.startswith("mat_intended"):
        return "mat", {
            "steps_delta": given["sampling_times_delta"],
            "steps_theta": given["sampling_times_theta"],
            "step_size": given["sampling_step_delta"],
            "start": {"randn": "normal", "rand": "uniform", "zero": "zero"}[given["adv_init_type"]],
            "start_size": given["adv_init_epsilon"],
            "radius": given["adv_max_norm"],
            "noise_ratio": given["sampling_noise_ratio"],
            "weight": given["lambda_s"],
            "beta_s": given["beta_s"],
            "beta_p": given["beta_p"],
        }
    raise AssertionError(f"the trace {case} is not mapped to a method")


def protocol_of(facts: dict[str, Any]) -> Protocol:
    """Return the optimizer and schedule of a trace."""
    given, optimizer = facts["hyper_parameters"], facts["optimizer"]
    groups = optimizer["groups"]
    values = catalogue.protocol("honest").model_dump() | {
        "learning_rate": optimizer["lr"],
        "warmup": given.get("warm_up", 0.0),
        "weight_decay": groups[0]["weight_decay"],
        "decay_bias_and_norm": len(groups) == 1,
        "adam_betas": tuple(optimizer["betas"]),
        "adam_epsilon": optimizer["eps"],
        "clip_norm": given.get("max_grad_norm", 0.0),
    }
    return Protocol.model_validate(values)


def queue_draws(case: Case, t: int) -> None:
    """Lay out the draws of batch t in the order in which the method asks."""
    rand = {
        k.removeprefix(f"rand/step{t}/"): v for k, v in case.rand().items() if k.startswith(f"rand/step{t}/")
    }
    given = case.facts["hyper_parameters"]
    if "delta_init_uniform" in rand:
        draw = rand["delta_init_uniform"].double()
        case.draws.queue.append(draw / given["adv_init_mag"] if given["norm_type"] == "linf" else draw)
    if "delta_init" in rand:
        case.draws.queue.append(rand["delta_init"])
        case.draws.queue += [rand[f"delta_noise/{k + 1}"] for k in range(given["sampling_times_delta"])]
        # At rate 0 (the first warm-up batch) the noise has size 0, and ours draws none.
        steps = given["sampling_times_theta"] if case.update.learning_rate > 0 else 0
        for k in range(steps):
            names = case.encoder.named_parameters()
            case.draws.queue += [rand[f"theta_noise/{k + 1}/{name}"] for name in names]


def replay(case: Case) -> Iterator[tuple[int, float]]:
    """Train on the four batches; yield (batch number, loss) after each, draws all used."""
    for t, batch in enumerate(case.batches, start=1):
        queue_draws(case, t)
        with case.encoder.training_step("independent"):
            loss = float(case.method.step(case.encoder, batch, case.update))
        case.update.next_batch()
        assert not case.draws.queue, "draws left over"
        yield t, loss


def largest_state_difference(case: Case, t: int) -> float:
    """Return the largest difference of a parameter from the trace after batch t (float64 states)."""
    prefix = f"state/step{t}/"
    recorded = {k.removeprefix(prefix): v for k, v in case.tensors.items() if k.startswith(prefix)}
    ours = case.encoder.named_parameters()
    assert set(recorded) == set(ours)
    return max(float((ours[name].detach() - value).abs().max()) for name, value in recorded.items())


def expected_loss(facts: dict[str, Any], t: int) -> float:
    """Return the mean over the passes or samples of a batch, as our methods report it."""
    scalars = facts["scalars"][f"step{t}"]
    losses = scalars.get("theta_loop_total") or scalars["pass_loss"]
    return sum(losses) / len(losses)
