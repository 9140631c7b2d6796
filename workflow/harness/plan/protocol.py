"""Protocol: everything about a run's training that is not the method."""

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.plan.strict import Strict

Selection = Literal["last", "best-on-selection", "best-on-report"]


class Protocol(Strict):
    """Epochs, batches, optimizer, schedule, evaluation points and the selection rule.

    A protocol file gives every value; an experiment changes single ones.
    """

    epochs: int = Field(ge=1, description="passes over the training rows")
    batch_size: int = Field(ge=1, description="examples a batch")
    learning_rate: float = Field(gt=0, description="peak learning rate of AdamW")
    schedule: Literal["linear", "constant"] = Field(description="linear (to zero) or constant, after warm-up")
    warmup: float = Field(ge=0, le=1, description="share of the batches with a linearly growing rate")
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
