"""Whether the reference loops cost what the released codes cost.

Batch 16, random tokens, lengths 10 to 64: where the released codes were measured. Each loop's time over
the plain loop's must lie within 20 % of the passes that its released code spends (in forwards, over 3).
"""

from pathlib import Path
from typing import Any

import torch

from benchmarks.settings import SETTINGS, Setting, without_teacher
from benchmarks.sides import Step, ours, reference
from benchmarks.timing import interleaved, middle
from harness.methods.interface import Batch

TOLERANCE = 0.2
SECONDS = 8.0


def random_batches(count: int, network: Any) -> list[Batch]:
    """Return batches of 16 texts of 10 to 64 random tokens."""
    generator, device = torch.Generator().manual_seed(0), next(network.parameters()).device
    regression = network.config.num_labels == 1
    found = []
    for _ in range(count):
        lengths = torch.randint(10, 65, (16,), generator=generator)
        lengths[0] = 64
        mask = (torch.arange(64) < lengths[:, None]).long()
        ids = torch.randint(1000, network.config.vocab_size, (16, 64), generator=generator) * mask
        labels = torch.randint(0, 2, (16,), generator=generator)
        labels = labels.float() if regression else labels
        tensors = [x.to(device) for x in (ids, mask, torch.zeros_like(ids), labels)]
        found.append(Batch(*tensors, int(lengths.sum())))
    return found


def rows(task: str, model: str, data_root: Path | None) -> list[dict[str, object]]:
    """Return {method, forwards, expected, measured, recorded} of each reference loop."""
    plain = reference(ours(task, model, SETTINGS[0], "fp32", data_root), SETTINGS[0])
    batches = random_batches(9, plain.network)
    found = []
    for setting in [*SETTINGS[1:3], without_teacher(SETTINGS[2]), *SETTINGS[3:]]:
        loop = reference(ours(task, model, setting, "fp32", data_root), setting)
        found.append(_row(setting, plain.step, loop.step, batches))
    return found


def _row(setting: Setting, plain: Step, loop: Step, batches: list[Batch]) -> dict[str, object]:
    ones, others = interleaved([_several(plain), loop], batches, SECONDS)
    return {
        "method": setting.name,
        "forwards": setting.forwards,
        "expected": setting.forwards / 3,
        "measured": middle(others) / (middle(ones) / PLAIN_STEPS),
        "recorded": setting.recorded,
    }


PLAIN_STEPS = 3
"""Plain steps in a turn: one alone is too short beside the others."""


def _several(step: Step) -> Step:
    def run(batch: Batch) -> float:
        return [step(batch) for _ in range(PLAIN_STEPS)][-1]

    return run


def failures(found: list[dict[str, object]]) -> list[str]:
    """Return a line for each loop that is too cheap or too dear."""
    return [
        f"reference loop {row['method']}: {row['measured']:.2f} plain steps, expected {row['expected']:.2f}"
        f" within {TOLERANCE:.0%}"
        for row in found
        if abs(float(str(row["measured"])) / float(str(row["expected"])) - 1) > TOLERANCE
    ]
