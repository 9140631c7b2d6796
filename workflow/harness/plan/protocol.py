"""Protocol: everything about a run's training that is not the method."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from harness.plan.strict import Strict

EVALUATION_BATCH = 64
"""Examples a forward pass of an evaluation; no score depends on it but by rounding."""

Selection = Literal["last", "best-on-selection", "best-on-report"]


class Protocol(Strict):
    """Epochs, batches, optimizer, schedule, evaluation points and the selection rule.

    A protocol file gives every value; an experiment changes single ones.
    """

    epochs: int = Field(ge=1, description="passes over the training rows")
    steps: int | None = Field(ge=1, description="batches in all, instead of epochs; null for epochs")
    batch_size: int = Field(ge=1, description="examples a batch")
    learning_rate: float = Field(gt=0, description="peak learning rate of AdamW")
    schedule: Literal["linear", "constant"] = Field(description="linear (to zero) or constant, after warm-up")
    warmup: float = Field(
        ge=0, description="batches with a linearly growing rate: a share below 1, from 1 on their number"
    )
    weight_decay: float = Field(ge=0, description="decoupled weight decay of AdamW")
    decay_bias_and_norm: bool = Field(description="whether biases and normalisation gains decay too")
    adam_betas: tuple[float, float] = Field(strict=False, description="moment decays of AdamW, two numbers")
    adam_epsilon: float = Field(gt=0, description="epsilon of AdamW")
    clip_norm: float = Field(ge=0, description="largest global gradient norm; 0 is off")
    max_length: int = Field(ge=4, description="tokens a text; longer ones are cut, counted and reported")
    evaluations_per_epoch: int = Field(ge=1, description="evaluations in each epoch, evenly spread")
    selection: Selection = Field(
        description="last, best-on-selection, or best-on-report (as released scripts do; marked in tables)"
    )
    record_report_curve: bool = Field(
        description="whether the ranked report split is evaluated along the way, for the record only"
    )
    selection_rows: int = Field(
        ge=0, description="rows carved from train by content hash; choices are made on them"
    )
    train_rows: int | None = Field(
        ge=1, description="rows trained on, chosen by content hash; null for all of them"
    )
    head_bias: Literal["zero", "train-mean"] = Field(
        description="start of a regression head's bias: zero, or train-mean (mean label of the training rows)"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        description="fp32, bf16 (autocast), or fp16 (autocast and loss scaling, on a GPU only)"
    )

    @model_validator(mode="after")
    def _selectable(self) -> Self:
        if self.selection == "best-on-selection" and self.selection_rows == 0:
            raise ValueError("selection_rows of 1 or more, since selection is best-on-selection")
        return self

    def times(self, factor: int) -> "Protocol":
        """Return the protocol with ``factor`` times the training."""
        steps = None if self.steps is None else self.steps * factor
        return self.model_copy(update={"epochs": self.epochs * factor, "steps": steps})


class Where(Strict):
    """Which cells a rule speaks of: all that fit every list that it gives."""

    tasks: list[str] = Field(default=[], description="task names; their children fit too")
    models: list[str] = Field(default=[], description="model names")
    methods: list[str] = Field(default=[], description="method names")

    def fits(self, tasks: tuple[str, ...], model: str, method: str) -> bool:
        """Tell whether a task (or a parent of it), a model and a method fit."""
        asked = ((self.tasks, tasks), (self.models, (model,)), (self.methods, (method,)))
        return all(not names or set(names) & set(have) for names, have in asked)


class Rule(Strict):
    """Values for some cells; a later rule wins over an earlier one."""

    where: Where = Field(description="the cells that it speaks of")
    settings: dict[str, Any] = Field(default={}, description="protocol values")
    arguments: dict[str, Any] = Field(default={}, description="arguments of the one method that it names")

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if self.arguments and len(self.where.methods) != 1:
            raise ValueError("where.methods to name exactly one method, since arguments are given")
        return self


class ProtocolFile(Protocol):
    """One file of ``config/protocols``: every value, and rules for single tasks, models and methods."""

    rules: list[Rule] = Field(default=[], description="values for some cells, later ones win")

    def base(self) -> dict[str, Any]:
        """Return the values without the rules."""
        return {name: getattr(self, name) for name in Protocol.model_fields}

    def rules_for(self, tasks: tuple[str, ...], model: str, method: str) -> list[Rule]:
        """Return the rules that fit, in their order."""
        return [rule for rule in self.rules if rule.where.fits(tasks, model, method)]
