"""The method interface: what a method declares, and what it receives to compute a step.

A method is one class in one file of ``baselines/`` (or ``mat/``). It declares itself without torch, and
computes the gradient of one batch, or takes the complete step. It sees the engine only through the small
protocols below, so the engine can compute the same passes in other ways (without padding, with shared dropout
masks, in micro-batches), and no method changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from harness.methods.search_space import Space, space

if TYPE_CHECKING:
    from torch import Tensor

    from harness.methods.adversary import Norm


Perturbs = Literal["words", "embedded", "embedded-twice"]
"""What a method adds its perturbation to, and where it feeds the sum:

- ``words``: the word embeddings, fed as ``inputs_embeds``;
- ``embedded``: the output of the embedding layer, fed as ``embedding_output``;
- ``embedded-twice``: the output of the embedding layer, fed as ``inputs_embeds``, so that positions,
  LayerNorm and dropout are applied a second time.
"""


def forward_equivalents(forward: int, backward: int, input_backward: int) -> int:
    """Return the cost in forward passes: a backward pass counts 2, one to the input only counts 1.

    The arguments are numbers of examples, or of passes that each example takes: batches of different sizes
    are compared by their examples.
    """
    return forward + 2 * backward + input_backward


@dataclass(frozen=True)
class PassCount:
    """Passes of one batch through the encoder, and optimizer steps."""

    forward: int = 0
    backward: int = 0
    """Backward passes that reach the parameters."""
    input_backward: int = 0
    """Backward passes to the perturbation only."""
    optimizer_steps: int = 0

    @property
    def forward_equivalents(self) -> int:
        """Cost of each example, in units of one forward pass of it."""
        return forward_equivalents(self.forward, self.backward, self.input_backward)

    def times(self, count: int) -> PassCount:
        """Return the passes of ``count`` such steps."""
        return PassCount(**{name: value * count for name, value in self.as_dict().items()})

    def as_dict(self) -> dict[str, int]:
        """Return the four counts by name."""
        return asdict(self)


class Arguments(BaseModel):
    """Base of a method's typed arguments; every field has a default, a range and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dropout: Literal["independent", "shared", "off"] = Field(
        default="independent",
        description="masks in the passes of one step: new ones, the same ones, or none",
    )


@dataclass(frozen=True)
class LimitingCase:
    """A limiting case: with ``arguments`` the method equals another one (dropout off).

    ``tolerance`` is the largest difference of a parameter after some steps in float64.
    """

    arguments: Mapping[str, Any]
    equals: str
    equals_arguments: Mapping[str, Any]
    tolerance: float


@dataclass(frozen=True)
class Batch:
    """One batch, right-padded to its longest text; all tensors on the model's device."""

    input_ids: Tensor
    """[B, L], token ids."""
    attention_mask: Tensor
    """[B, L], 1 for real tokens, 0 for padding."""
    token_type_ids: Tensor
    """[B, L], 0 for the first text and 1 for the second."""
    labels: Tensor
    """[B], class numbers (int64) or scores (the default float type)."""
    tokens: int
    """Number of real tokens."""


@dataclass(frozen=True)
class Pass:
    """The result of one forward pass."""

    logits: Tensor
    """[B, C]; C = 1 for a regression."""
    embedding_output: Tensor
    """Output of the embedding layer (sum, LayerNorm, dropout), [B, L, H]."""
    last_hidden: Tensor
    """Output of the last layer at the first token, which the head reads, [B, H]."""


class Draws(Protocol):
    """The perturbation stream: the only source of random numbers of a method."""

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers with the shape, type and device of ``like``."""

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers from [0, 1) with the shape, type and device of ``like``."""


class Model(Protocol):
    """An encoder with its head, used through its word embeddings and its forward pass."""

    @property
    def regression(self) -> bool:
        """Whether the task is a regression."""

    @property
    def draws(self) -> Draws:
        """The perturbation stream."""

    def named_parameters(self) -> Mapping[str, Tensor]:
        """Return the parameters by name, in a fixed order."""

    def input_embeddings(self, batch: Batch) -> Tensor:
        """Return the word-embedding rows of ``batch``, attached; [B, L, D]."""

    def __call__(
        self,
        batch: Batch,
        *,
        inputs_embeds: Tensor | None = None,
        embedding_output: Tensor | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Pass:
        """Run one forward pass.

        ``inputs_embeds`` replaces the word embeddings, ``embedding_output`` the output of the embedding
        layer, ``parameters`` those of the model (for example by those of a teacher).
        """

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the task loss: mean cross-entropy, or mean squared error."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to the parameters'."""

    def input_gradient(self, loss: Tensor, perturbation: Tensor) -> Tensor:
        """Return the gradient with respect to ``perturbation`` only."""


class Optimizer(Protocol):
    """Clips, steps and clears the gradients."""

    @property
    def learning_rate(self) -> float:
        """The learning rate of the schedule for this batch."""

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate of the protocol, which the schedule scales."""

    def step(self) -> None:
        """Take one step with the present gradients, then clear them."""

    def within_batch(self, share: float) -> None:
        """Move the schedule to a share (0 to 1) of this batch; the training loop moves it between batches."""


class Method:
    """Base of all methods."""

    name: ClassVar[str]
    summary: ClassVar[str]
    citation: ClassVar[str]
    Arguments: ClassVar[type[Arguments]] = Arguments
    search_space: ClassVar[Space] = space()
    """What a search may vary, by argument; the learning rate is searched for every method."""
    perturbs_padding: ClassVar[bool] = False
    """Whether, with some arguments, the perturbation is not zero where the mask is 0."""
    limiting_cases: ClassVar[tuple[LimitingCase, ...]] = ()

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments

    @classmethod
    def passes(cls, arguments: Any, regression: bool = False) -> PassCount:
        """Return the passes of one batch as a formula of the arguments (and the kind of task)."""
        raise NotImplementedError(f"{cls.__name__} does not declare passes")

    @classmethod
    def perturbs(cls, arguments: Any) -> Perturbs:
        """Return what the method perturbs with these arguments (see ``Perturbs``).

        It is the origin from which the size of a perturbation is measured. A method without perturbations
        keeps the default.
        """
        return "words"

    @classmethod
    def needs_dropout(cls, arguments: Any) -> bool:
        """Return whether it compares passes that differ only by their dropout masks."""
        return False

    @classmethod
    def norm_bound(cls, arguments: Any) -> tuple[Norm, float] | None:
        """Return the norm and the largest size that a perturbation can have; None if it is not bounded."""
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
        """Return the tensors that a checkpoint must hold, such as a teacher."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what ``state`` returned."""


def mean_of(losses: Iterable[Tensor]) -> Tensor:
    """Return the mean of detached losses."""
    values = [loss.detach() for loss in losses]
    return sum(values[1:], values[0]) / len(values)
