"""The typed record of a run: ``result.json``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["ok", "collapsed", "diverged"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Curve(_Record):
    """The ranking metric over the evaluations of a split along the way; None without evaluations."""

    best: float | None = None
    last: float | None = None
    mean_last_5: float | None = None
    evaluations: int = 0


class Cost(_Record):
    """What a run spent: counts of training, and what evaluating took."""

    forward_passes: int
    backward_passes: int = Field(description="backwards that reach the parameters")
    input_backward_passes: int = Field(description="backwards to the perturbation alone")
    optimizer_steps: int
    examples: int = Field(description="examples in all forward passes")
    tokens: int = Field(description="real tokens in all forward passes")
    computed_tokens: int = Field(description="tokens in all forward passes, padding included where computed")
    evaluation_passes: int = Field(description="forward passes of all evaluations, the last one included")
    train_seconds: float
    evaluation_seconds: float
    peak_memory_mb: float


class Result(_Record):
    """One run, whole. A metric that is not defined is absent, never NaN."""

    schema_version: Literal[1] = 1
    run_key: str
    experiment: str
    task: str
    model: str
    method: str
    variant: str
    seed: int
    status: Status
    selection: dict[str, Any] = Field(description="rule, and the batch after which the weights were taken")
    metrics: dict[str, dict[str, float]] = Field(description="split to metric to value; empty when diverged")
    curve: Curve = Field(description="on the selection split")
    report_curve: Curve = Field(
        description="on the ranked report split; empty unless the protocol asks for it"
    )
    cost: Cost
    flags: dict[str, Any] = Field(description="what a reader must know: reason of the status, subset, ...")
    hashes: dict[str, str] = Field(description="weights after training, head before it, token ids")

    def timeless(self) -> dict[str, Any]:
        """Return the record without the fields in which two equal runs may differ."""
        return self.model_dump(exclude={"cost": set(TIME_FIELDS)})


TIME_FIELDS = ("train_seconds", "evaluation_seconds", "peak_memory_mb")
