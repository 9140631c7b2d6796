"""The cost of the reference loops, compared with that of the released codes.

Batch 16, random tokens, lengths 10 to 64, as in the measurements of the released codes. The time of each
loop, relative to the plain loop, must be within 20 % of the passes of its released code (in forwards / 3).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.settings import SETTINGS, Setting, without_teacher
from benchmarks.sides import Step, ours, reference
from benchmarks.timing import interleaved, median_ms
from harness.methods.interface import Batch

TOLERANCE = 0.2
SECONDS = 8.0
PLAIN_STEPS = 3
"""Plain steps per measurement; a single one is too short."""


@dataclass(frozen=True)
class LoopCost:
    """Cost of a reference loop."""

    method: str
    forwards: int
    expected: float
    """Plain steps that its passes take."""
    measured: float
    recorded: str
    """Plain steps of the released code, measured."""


def costs(task: str, model: str, data_root: Path | None) -> list[LoopCost]:
    """Return the cost of each reference loop."""
    plain = reference(ours(task, model, SETTINGS[0], "fp32", data_root), SETTINGS[0])
    batches = random_batches(9, plain.network)
    settings = [*SETTINGS[1:3], without_teacher(SETTINGS[2]), *SETTINGS[3:]]
    return [
        _cost(
            setting,
            plain.step,
            reference(ours(task, model, setting, "fp32", data_root), setting).step,
            batches,
        )
        for setting in settings
    ]


def random_batches(count: int, network: Any) -> list[Batch]:
    """Return batches of 16 texts of 10 to 64 random tokens."""
    generator, device = torch.Generator().manual_seed(0), next(network.parameters()).device
    regression = network.config.num_labels == 1
    batches = []
    for _ in range(count):
        lengths = torch.randint(10, 65, (16,), generator=generator)
        lengths[0] = 64
        mask = (torch.arange(64) < lengths[:, None]).long()
        ids = torch.randint(1000, network.config.vocab_size, (16, 64), generator=generator) * mask
        labels = torch.randint(0, 2, (16,), generator=generator)
        labels = labels.float() if regression else labels
        tensors = [x.to(device) for x in (ids, mask, torch.zeros_like(ids), labels)]
        batches.append(Batch(*tensors, int(lengths.sum())))
    return batches


def _cost(setting: Setting, plain: Step, loop: Step, batches: list[Batch]) -> LoopCost:
    plain_times, loop_times = interleaved([_repeated(plain), loop], batches, SECONDS)
    measured = median_ms(loop_times) / (median_ms(plain_times) / PLAIN_STEPS)
    return LoopCost(setting.name, setting.forwards, setting.forwards / 3, measured, setting.recorded)


def _repeated(step: Step) -> Step:
    def run(batch: Batch) -> float:
        return [step(batch) for _ in range(PLAIN_STEPS)][-1]

    return run


def failures(costs: list[LoopCost]) -> list[str]:
    """Return a line for each loop whose cost is too low or too high."""
    return [
        f"reference loop {cost.method}: {cost.measured:.2f} plain steps, expected {cost.expected:.2f}"
        f" within {TOLERANCE:.0%}"
        for cost in costs
        if abs(cost.measured / cost.expected - 1) > TOLERANCE
    ]
