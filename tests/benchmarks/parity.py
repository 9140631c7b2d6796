"""The reference loops against the recorded traces of the released codes."""

from pathlib import Path
from typing import Any

import golden
from golden_map import family, horizon, protocol_of

from benchmarks.mat import MatReference
from benchmarks.references import FreeLBReference, Reference, VanillaReference
from benchmarks.smart import SmartReference
from harness.core.watch import Watch
from harness.methods.conformance.toy import float64_on_one_thread
from harness.methods.interface import Batch

TRACES = Path(__file__).parents[1] / "data" / "golden"
REFERENCES: dict[str, type[Reference]] = {
    "vanilla": VanillaReference,
    "freelb_hf": FreeLBReference,
    "smart_author": SmartReference,
    "mat_code": MatReference,
}
CHECKED = ("vanilla", "freelb_hf_l2", "smart_author_ema", "mat_code")


class ReferenceCase(golden.Case):
    """A reference loop stands in for encoder, update and method."""

    draws_at_rate_zero = True

    @property
    def adamw(self) -> Any:
        return self.update.optimizer

    def train(self, batch: Batch) -> float:
        return self.method.step(batch)


def reference_case(folder: Path, name: str) -> ReferenceCase:
    """Return a trace with the reference loop of its family in our method's place."""
    case = golden.load_case(folder, name)
    loop: Any = REFERENCES[family(name)](
        golden.plain_network(folder, case.facts),
        case.method.arguments,
        protocol_of(case.facts, len(case.batches)),
        horizon(case.facts, len(case.batches)),
        case.draws,
    )
    loop.watch = Watch()
    stand_in = ReferenceCase(case.facts, case.tensors, case.batches, loop, loop, loop, case.draws)
    golden.watch_optimizer(stand_in)
    return stand_in


def failures(folder: Path = TRACES, names: tuple[str, ...] = CHECKED) -> list[str]:
    """Return what a reference loop does otherwise than the recorded code, a line for each trace."""
    found = []
    with float64_on_one_thread():
        for name in names:
            worst = golden.replay(reference_case(folder, name))
            if not golden.within_tolerance(worst):
                found.append(f"reference loop against the trace {name}: largest differences {worst}")
    return found
