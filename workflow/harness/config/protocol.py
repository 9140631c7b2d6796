"""Protocol: the training settings of a run, except the method and its arguments."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from harness.config.base import Strict

EVALUATION_BATCH = 64
"""Examples per forward pass of an evaluation. It changes scores only by rounding."""

DROPOUTS = ("hidden_dropout", "attention_dropout", "head_dropout")
Selection = Literal["last", "best-on-selection", "best-on-report"]


class Protocol(Strict):
    """Epochs, batches, optimizer, schedule, evaluation points and the selection rule.

    A protocol file sets every value; an experiment overrides some of them.
    """

    epochs: int = Field(ge=1, description="passes over the training rows")
    steps: int | None = Field(
        ge=1, description="training batches in total, instead of epochs; null: use epochs"
    )
    batch_size: int = Field(ge=1, description="examples per batch")
    learning_rate: float = Field(gt=0, description="peak learning rate of AdamW")
    schedule: Literal["linear", "constant"] = Field(
        description="learning rate after warm-up: linear (decay to zero) or constant"
    )
    warmup: float = Field(
        ge=0,
        description="warm-up (rate grows linearly): below 1 a fraction of all batches, else "
        "their number (1.5: three updates of a method with two per batch)",
    )
    weight_decay: float = Field(ge=0, description="decoupled weight decay of AdamW")
    decay_bias_and_norm: bool = Field(
        description="whether weight decay applies to biases and normalisation gains too"
    )
    adam_betas: tuple[float, float] = Field(strict=False, description="decay rates of AdamW's two moments")
    adam_epsilon: float = Field(gt=0, description="epsilon of AdamW")
    clip_norm: float = Field(ge=0, description="largest global gradient norm; 0 disables clipping")
    max_length: int = Field(
        ge=4, description="tokens per example; longer examples are truncated, counted and reported"
    )
    evaluations_per_epoch: int = Field(ge=1, description="evaluations per epoch, evenly spaced")
    selection: Selection = Field(
        description="which weights are reported: last, best-on-selection, or best-on-report (the rule of the "
        "released scripts; marked in tables)"
    )
    record_report_curve: bool = Field(
        description="whether the primary split is evaluated during training, for the record only"
    )
    selection_rows: int = Field(
        ge=0, description="size of the selection split, held out from train by content hash"
    )
    train_rows: int | None = Field(
        ge=1, description="size of the training subset, selected by content hash; null: all rows"
    )
    hidden_dropout: float | None = Field(
        ge=0, lt=1, description="dropout of embeddings and layers; null: the model's own rate"
    )
    attention_dropout: float | None = Field(
        ge=0, lt=1, description="dropout of attention weights; null: the model's own rate"
    )
    head_dropout: float | None = Field(
        ge=0, lt=1, description="dropout before the classifier; null: the model's own rate"
    )
    head_bias: Literal["zero", "train-mean"] = Field(
        description="initial bias of a regression head: zero, or train-mean (mean label of the training rows)"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        description="fp32, bf16 (autocast), or fp16 (autocast and loss scaling, GPU only)"
    )

    @model_validator(mode="after")
    def _selectable(self) -> Self:
        if self.selection == "best-on-selection" and self.selection_rows == 0:
            raise ValueError("selection_rows of 1 or more, since selection is best-on-selection")
        return self

    def identity(self) -> dict[str, object]:
        """Return the values that determine the results; with ``steps``, the epochs do not."""
        return self.model_dump(exclude=set() if self.steps is None else {"epochs"})

    def dropout_rates(self) -> dict[str, float]:
        """Return the dropout rates that are not the model's own."""
        rates = {name: getattr(self, name) for name in DROPOUTS}
        return {name: rate for name, rate in rates.items() if rate is not None}

    def times(self, factor: int) -> "Protocol":
        """Return the protocol with its epochs and steps multiplied by ``factor``."""
        steps = None if self.steps is None else self.steps * factor
        return self.model_copy(update={"epochs": self.epochs * factor, "steps": steps})


def merged(base: Mapping[str, object], *layers: Mapping[str, object]) -> dict[str, object]:
    """Return protocol values where each layer overrides the ones before it.

    A layer that sets ``epochs`` and not ``steps`` clears ``steps``, so that the run has that many epochs.
    """
    values = dict(base)
    for layer in layers:
        if "epochs" in layer and "steps" not in layer:
            values["steps"] = None
        values |= layer
    return values


class Where(Strict):
    """The cells that a rule applies to: those that match every list. An empty list matches all cells."""

    tasks: list[str] = Field(default=[], description="task names; their children match too")
    models: list[str] = Field(default=[], description="model names")
    methods: list[str] = Field(default=[], description="method names")

    def fits(self, tasks: tuple[str, ...], model: str, method: str) -> bool:
        """Return whether a cell matches; ``tasks`` are the names of its task and of the task's parents."""
        conditions = ((self.tasks, tasks), (self.models, (model,)), (self.methods, (method,)))
        return all(not names or set(names) & set(values) for names, values in conditions)


class Rule(Strict):
    """Values for some cells. A later rule overrides an earlier one."""

    where: Where = Field(description="the cells that the rule applies to")
    settings: dict[str, Any] = Field(default={}, description="protocol values")
    arguments: dict[str, Any] = Field(
        default={}, description="method arguments; where.methods then names one method"
    )

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if self.arguments and len(self.where.methods) != 1:
            raise ValueError("where.methods to name exactly one method, since arguments are given")
        return self


class ProtocolFile(Protocol):
    """One file of ``config/protocols``: all values, and rules for some tasks, models or methods."""

    rules: list[Rule] = Field(
        default=[], description="values for some cells; later rules override earlier ones"
    )

    def base(self) -> dict[str, Any]:
        """Return the values without the rules."""
        return {name: getattr(self, name) for name in Protocol.model_fields}

    def rules_for(self, tasks: tuple[str, ...], model: str, method: str) -> list[Rule]:
        """Return the rules that match a cell, in their order."""
        return [rule for rule in self.rules if rule.where.fits(tasks, model, method)]
