"""The method interface: what a method declares, and what it is handed to compute a step.

A method is one class in one file of ``baselines/`` (or ``mat/``). It declares itself without torch
and computes the gradient of one batch, or takes the whole step. Everything it needs from the engine
comes through the small protocols below, so the engine can compute the same passes in other ways
(no padding, shared dropout masks, several devices) and no method changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from harness.methods.search import Space, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.adversary import Norm


@dataclass(frozen=True)
class Passes:
    """Passes of one batch through the encoder, and optimizer steps."""

    forward: int = 0
    backward: int = 0
    """Backward passes that reach the parameters."""
    input_backward: int = 0
    """Backward passes to the perturbation alone."""
    optimizer_steps: int = 0

    def times(self, count: int) -> Passes:
        """Return the passes of ``count`` such steps."""
        return Passes(**{name: value * count for name, value in self.as_dict().items()})

    def as_dict(self) -> dict[str, int]:
        """Return the four counts by name."""
        return asdict(self)


class Arguments(BaseModel):
    """Base of a method's typed arguments; every field has a default, a range and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dropout: Literal["independent", "shared", "off"] = Field(
        default="independent",
        description="masks in the passes of one step: fresh ones, the same ones, or none",
    )


@dataclass(frozen=True)
class Limit:
    """A limiting case: with ``arguments`` the method equals another one (dropout off).

    ``tolerance`` bounds the largest difference of a parameter after some steps in float64.
    """

    arguments: Mapping[str, Any]
    equals: str
    equals_arguments: Mapping[str, Any]
    tolerance: float


@dataclass(frozen=True)
class Batch:
    """One batch, right-padded to its longest text; all tensors on the model's device."""

    ids: Tensor
    """[B, L], token ids."""
    mask: Tensor
    """[B, L], 1 for real tokens, 0 for padding."""
    types: Tensor
    """[B, L], 0 for the first text and 1 for the second."""
    labels: Tensor
    """[B], class numbers (int64) or scores (the default float type)."""
    tokens: int
    """Number of real tokens."""


@dataclass(frozen=True)
class Pass:
    """What one forward pass gives."""

    logits: Tensor
    """[B, C]; C = 1 for a regression."""
    embedded: Tensor
    """Finished embedding output (sum, LayerNorm, dropout), [B, L, H]."""
    last_hidden: Tensor
    """Output of the last layer at the first token, which the head reads, [B, H]."""


class Draws(Protocol):
    """The perturbation stream: the only source of random numbers of a method."""

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers of the shape, type and device of ``like``."""

    def uniform(self, like: Tensor) -> Tensor:
        """Return numbers uniform in [0, 1) of the shape, type and device of ``like``."""


class Model(Protocol):
    """An encoder with its head, seen through its word embeddings and its forward pass."""

    @property
    def regression(self) -> bool:
        """Whether the task is a regression."""

    @property
    def draws(self) -> Draws:
        """The perturbation stream."""

    def named_parameters(self) -> Mapping[str, Tensor]:
        """Return the parameters by name, in a fixed order."""

    def words(self, batch: Batch) -> Tensor:
        """Return the word-embedding rows of ``batch``, attached; [B, L, D]."""

    def __call__(
        self,
        batch: Batch,
        *,
        words: Tensor | None = None,
        embedded: Tensor | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Pass:
        """Run one forward pass.

        ``words`` stands in for the word-embedding rows, ``embedded`` for the finished embedding
        output, ``parameters`` for the model's own (a teacher's, say).
        """

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the task loss: mean cross-entropy, or mean squared error."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to the parameters'."""

    def input_gradient(self, loss: Tensor, perturbation: Tensor) -> Tensor:
        """Return the gradient with respect to ``perturbation`` alone."""


class Optimizer(Protocol):
    """Clips, steps and clears the gradients."""

    @property
    def learning_rate(self) -> float:
        """The schedule's rate for this batch."""

    @property
    def peak_learning_rate(self) -> float:
        """The protocol's rate, which the schedule scales."""

    def step(self) -> None:
        """Take one step with the gradients that stand, then clear them."""

    def within_batch(self, share: float) -> None:
        """Move the schedule to a share (0 to 1) of this batch; the loop moves it from batch to batch."""


class Method:
    """Base of all methods."""

    name: ClassVar[str]
    summary: ClassVar[str]
    citation: ClassVar[str]
    Arguments: ClassVar[type[Arguments]] = Arguments
    search: ClassVar[Space] = space()
    """What a search varies, by argument; the seed never, the learning rate for every method alike."""
    perturbs_padding: ClassVar[bool] = False
    """Whether, in some setting, the perturbation is other than zero where the mask is 0."""
    couples_examples: ClassVar[bool] = False
    """Whether an example's gradient depends on the others in its batch."""
    limits: ClassVar[tuple[Limit, ...]] = ()

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments

    @classmethod
    def passes(cls, arguments: Any, regression: bool = False) -> Passes:
        """Return the passes of one batch as a formula of the arguments (and the kind of task)."""
        raise NotImplementedError(f"{cls.__name__} declares no passes")

    @classmethod
    def bound(cls, arguments: Any) -> tuple[Norm, float] | None:
        """Return the norm and the largest size that a perturbation can have; None if nothing bounds it."""
        return None

    def gradient(self, model: Model, batch: Batch) -> Tensor:
        """Leave the gradient of one batch in the parameters; return the loss, detached."""
        raise NotImplementedError(f"{type(self).__name__} declares neither gradient nor step")

    def step(self, model: Model, batch: Batch, optimizer: Optimizer) -> Tensor:
        """Train on one batch; return the loss, detached. Override it for several steps a batch."""
        loss = self.gradient(model, batch)
        optimizer.step()
        return loss

    def state(self) -> dict[str, Tensor]:
        """Return what must survive between batches (a teacher, say)."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` returned."""


def mean_of(losses: Iterable[Tensor]) -> Tensor:
    """Return the mean of detached losses."""
    values = [loss.detach() for loss in losses]
    return sum(values[1:], values[0]) / len(values)
