"""The formats of ``result.json``, the result of a run, and of a line of ``metrics.jsonl``."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.methods.interface import PassCount

Status = Literal["ok", "collapsed", "diverged"]
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
    tokens: int = Field(description="real tokens in all forward passes")
    computed_tokens: int = Field(
        description="tokens in all forward passes, including padding that was computed"
    )
    evaluation_passes: int = Field(description="forward passes of all evaluations, including the final one")
    train_seconds: float
    evaluation_seconds: float
    peak_memory_mb: float | None = Field(
        description="GPU: memory that torch allocated; CPU: resident set; null where it cannot be measured"
    )

    @property
    def passes(self) -> PassCount:
        """The passes and optimizer steps of training."""
        return PassCount(
            self.forward_passes, self.backward_passes, self.input_backward_passes, self.optimizer_steps
        )


class Result(_Record):
    """The result of one run. A metric that is not defined is absent, never NaN."""

    schema_version: Literal[2] = 2
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
    def _from_version_1(cls, content: Any) -> Any:
        """Convert a result of version 1, which has other names for two flags."""
        if not isinstance(content, dict) or content.get("schema_version") != 1:
            return content
        flags = {RENAMED_FLAGS.get(name, name): value for name, value in content.get("flags", {}).items()}
        return {**content, "schema_version": 2, "flags": flags}

    def timeless(self) -> dict[str, Any]:
        """Return the result without time and memory, in which two equal runs may differ."""
        return self.model_dump(exclude={"cost": set(TIME_FIELDS)})


TIME_FIELDS = ("train_seconds", "evaluation_seconds", "peak_memory_mb")
