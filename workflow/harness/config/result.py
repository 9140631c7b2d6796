"""The formats of ``result.json``, the result of a run, and of a line of ``metrics.jsonl``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.methods.interface import forward_equivalents

Status = Literal["ok", "collapsed", "diverged"]
NO_NOISE = "no noise"
STATES = {True: "resolved", False: "unresolved", None: "not finite"}
"""Whether a perturbation is resolved, in words."""
RENAMED_FLAGS = {"seen": "contamination", "cut_texts": "truncated"}
"""Names of flags in version 1 to their current names."""


@dataclass(frozen=True)
class Evaluation:
    """A line of ``metrics.jsonl``: the metrics of a split after ``step`` batches of the training."""

    split: str
    """"selection", or the name of the primary report split."""
    step: int
    epoch: float
    metrics: dict[str, float]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Curve(_Record):
    """Summary of the primary metric over the evaluations during training; None without evaluations."""

    best: float | None = None
    last: float | None = None
    mean_last_5: float | None = None
    evaluations: int = 0


class Cost(_Record):
    """Cost of a run: counts for training, passes and time of evaluations, peak memory."""

    forward_passes: int
    backward_passes: int = Field(description="backward passes to the parameters")
    input_backward_passes: int = Field(description="backward passes only to the perturbation")
    optimizer_steps: int
    examples: int = Field(description="examples in all forward passes")
    backward_examples: int = Field(description="examples in all backward passes to the parameters")
    input_backward_examples: int = Field(description="examples in all backward passes to the perturbation")
    tokens: int = Field(description="real tokens in all forward passes")
    computed_tokens: int = Field(
        description="tokens in all forward passes, including padding that was computed"
    )
    evaluation_examples: int | None = Field(
        description="examples in all evaluations, including the final one; null in results of version 1 and 2"
    )
    train_seconds: float
    evaluation_seconds: float
    peak_memory_mb: float | None = Field(
        description="GPU: memory that torch allocated; CPU: resident set; null where it cannot be measured"
    )

    @property
    def forward_equivalents(self) -> int:
        """Cost of training in units of one forward pass of one example."""
        return forward_equivalents(self.examples, self.backward_examples, self.input_backward_examples)


def with_examples(cost: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the cost of a result of version 1 or 2, which counts backward passes in batches, with examples.

    Every batch of a run takes the same passes, so the numbers are exact.
    """
    known = {name: value for name, value in cost.items() if name != "evaluation_passes"}
    size = (known["examples"] or 0) / (known["forward_passes"] or 1)
    for kind in ("backward", "input_backward"):
        known[f"{kind}_examples"] = round(size * (known[f"{kind}_passes"] or 0))
    return {**known, "evaluation_examples": None}


class Result(_Record):
    """The result of one run. A metric that is not defined is absent, never NaN."""

    schema_version: Literal[3] = 3
    run_key: str
    experiment: str
    task: str
    model: str
    method: str
    variant: str
    seed: int
    status: Status
    selection: dict[str, Any] = Field(
        description="selection rule, and the batch after which the weights were taken"
    )
    metrics: dict[str, dict[str, float]] = Field(description="split to metric to value; empty when diverged")
    curve: Curve = Field(description="on the selection split")
    report_curve: Curve = Field(
        description="on the primary split; empty unless the protocol has record_report_curve"
    )
    cost: Cost
    flags: dict[str, Any] = Field(
        description="facts that qualify the scores: reason of the status, subset, contamination, ..."
    )
    hashes: dict[str, str] = Field(description="weights after training, head before it, token ids")

    @model_validator(mode="before")
    @classmethod
    def _from_earlier(cls, content: Any) -> Any:
        """Convert a result of version 1, which has other names for two flags, or of version 2."""
        if not isinstance(content, dict) or content.get("schema_version") not in (1, 2):
            return content
        flags = {RENAMED_FLAGS.get(name, name): value for name, value in content.get("flags", {}).items()}
        return {**content, "schema_version": 3, "flags": flags, "cost": with_examples(content["cost"])}

    @property
    def perturbation(self) -> str:
        """A value of STATES; ``no noise`` where compared passes are the same; empty without any."""
        if self.flags.get("without_noise"):
            return NO_NOISE
        sizes = self.flags.get("perturbation")
        return "" if sizes is None else STATES[sizes["resolved"]]

    def timeless(self) -> dict[str, Any]:
        """Return the result without time and memory, in which two equal runs may differ."""
        return self.model_dump(exclude={"cost": set(TIME_FIELDS)})


TIME_FIELDS = ("train_seconds", "evaluation_seconds", "peak_memory_mb")
