"""The reference loops against the recorded traces of the released codes."""

from pathlib import Path
from typing import Any

from support import traces
from support.trace_settings import family, horizon, protocol_of
from support.traces import TRACES

from benchmarks.mat import MatReference
from benchmarks.references import FreeLBReference, Reference, VanillaReference
from benchmarks.smart import SmartReference
from harness.engine.recorder import Recorder
from harness.methods.conformance.toy import float64_on_one_thread
from harness.methods.interface import Batch

REFERENCES: dict[str, type[Reference]] = {
    "vanilla": VanillaReference,
    "freelb_hf": FreeLBReference,
    "smart_author": SmartReference,
    "mat_code": MatReference,
}
CHECKED = ("vanilla", "freelb_hf_l2", "smart_author_ema", "mat_code")


class ReferenceCase(traces.Case):
    """A trace whose encoder, optimizer and method are a reference loop."""

    draws_at_rate_zero = True

    @property
    def adamw(self) -> Any:
        return self.method.optimizer

    def train(self, batch: Batch) -> float:
        return self.method.step(batch)


def reference_case(folder: Path, name: str) -> ReferenceCase:
    """Return a trace with the reference loop of its family instead of our method."""
    case = traces.load_case(folder, name)
    loop: Any = REFERENCES[family(name)](
        traces.plain_network(folder, case.facts),
        case.method.arguments,
        protocol_of(case.facts, len(case.batches)),
        horizon(case.facts, len(case.batches)),
        case.draws,
    )
    loop.recorder = Recorder()
    reference = ReferenceCase(case.facts, case.tensors, case.batches, loop, loop, loop, case.draws)
    traces.record_optimizer(reference)
    return reference


def failures(folder: Path = TRACES, names: tuple[str, ...] = CHECKED) -> list[str]:
    """Return a line for each trace whose numbers the reference loop does not reproduce."""
    errors = []
    with float64_on_one_thread():
        for name in names:
            worst = traces.replay(reference_case(folder, name))
            if not traces.within_tolerance(worst):
                errors.append(f"reference loop against the trace {name}: largest differences {worst}")
    return errors
