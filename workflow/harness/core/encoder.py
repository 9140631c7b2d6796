"""The encoder with its head, as methods see it (``harness.methods.interface.Model``).

It is reached through its word-embedding layer and its forward, never by the name of an
architecture: hooks on these layers put a perturbed tensor in the place of a layer's output.
Every pass and every backward through a pass is counted where it happens.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from harness.core.dropout import replace_dropout
from harness.core.loss_scale import LossScale
from harness.core.packing import Packing, can_pack
from harness.core.parts import in_parts
from harness.core.rows import keep_word_gradient
from harness.core.streams import GlobalStream
from harness.core.watch import Watch
from harness.methods.interface import Batch, Draws, Pass, Passes

Dropout = Literal["independent", "shared", "off"]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Meter:
    """Counts of what was computed."""

    forward: int = 0
    backward: int = 0
    input_backward: int = 0
    optimizer_steps: int = 0
    examples: int = 0
    tokens: int = 0
    computed_tokens: int = 0

    def passes(self) -> Passes:
        """Return the counts that a method declares."""
        return Passes(self.forward, self.backward, self.input_backward, self.optimizer_steps)


class Encoder:
    """A sequence classifier or regressor behind the method interface."""

    def __init__(
        self,
        network: Any,
        *,
        regression: bool,
        draws: Draws,
        dropout_stream: GlobalStream,
        precision: str = "fp32",
        pack: bool = True,
    ) -> None:
        """Take over ``network``; ``pack=False`` computes padding even where it could be left out."""
        self.network: nn.Module = network
        self.regression = regression
        self.draws = draws
        self.meter = Meter()
        self.watch: Watch | None = None
        self._finite: list[Tensor] = []
        self.device = next(self.network.parameters()).device
        self._dropout_stream = dropout_stream
        self._shared_masks: Any = None
        self.micro_batch: int | None = None
        """Examples computed at a time, to save memory; None computes a batch as a whole."""
        self.loss_scale = LossScale(self.device) if precision == "fp16" else None
        self._autocast = AUTOCAST.get(precision)
        if self.device.type == "cpu":
            replace_dropout(network)
            keep_word_gradient(network)
        self._packing = Packing(network) if pack and can_pack(network) else None
        self._backward_kind = "backward"
        self._word_layer: nn.Module = network.get_input_embeddings()
        self._replace: dict[str, Tensor | None] = {"words": None, "embedded": None}
        self._embedded: Tensor | None = None
        self._last_hidden: Tensor | None = None
        self._word_layer.register_forward_hook(self._swap_words)
        network.base_model.embeddings.register_forward_hook(self._swap_embedded)
        network.base_model.register_forward_hook(self._keep_last_hidden)

    def named_parameters(self) -> dict[str, Tensor]:
        """Return the parameters by name, in the network's order."""
        return dict(self.network.named_parameters())

    def words(self, batch: Batch) -> Tensor:
        """Return the word-embedding rows of ``batch``, attached; [B, L, D]."""
        rows: Tensor = self._word_layer(batch.ids)
        return rows

    def __call__(
        self,
        batch: Batch,
        *,
        words: Tensor | None = None,
        embedded: Tensor | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Pass:
        """Run one forward pass (see the interface) and count it."""
        if self.watch is not None:
            self._note(batch, words, embedded)
        fed = words if words is not None else embedded
        if fed is not None:
            self._finite.append(fed.detach().isfinite().all())  # read only when a loss is not finite
            if self.loss_scale is not None:
                self.loss_scale.guard(fed)
        self._count_forward(batch)
        if self._shared_masks is not None:
            self._dropout_stream.reload(self._shared_masks)
        if self.micro_batch is None or self.micro_batch >= len(batch.ids):
            result = self._compute(batch, words, embedded, parameters)
        else:
            result = in_parts(self._compute, self.micro_batch, batch, words, embedded, parameters)
        if result.logits.requires_grad:
            result.logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        if self.watch is not None and words is None and embedded is None and parameters is None:
            self.watch.clean = result.embedded.detach()
        return result

    def _compute(
        self,
        batch: Batch,
        words: Tensor | None,
        embedded: Tensor | None,
        parameters: Mapping[str, Tensor] | None,
    ) -> Pass:
        """Run the network on a batch, or on a part of one."""
        if self._packing is not None:
            self._packing.start(batch.mask)
        self._replace = {"words": words, "embedded": embedded}
        given = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": batch.types}
        given = {name: given[name] for name in self._accepted(given)}
        try:
            with torch.autocast(self.device.type, self._autocast, enabled=self._autocast is not None):
                if parameters is None:
                    output = self.network(**given)
                else:
                    output = torch.func.functional_call(self.network, dict(parameters), (), given)
        finally:
            self._replace = {"words": None, "embedded": None}
        logits = output.logits.to(torch.get_default_dtype())
        assert self._embedded is not None and self._last_hidden is not None
        result = Pass(logits, self._embedded, self._last_hidden)
        self._embedded = self._last_hidden = None  # nothing of a pass is kept alive here
        return result

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy, or the mean squared error of a regression."""
        value = self.example_losses(logits, batch).mean()
        if self.watch is not None:
            self.watch.losses.append(float(value.detach()))
        return value

    def example_losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the task loss of each example, [B]."""
        if self.regression:
            return functional.mse_loss(logits.squeeze(1), batch.labels, reduction="none")
        return functional.cross_entropy(logits, batch.labels, reduction="none")

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to the parameters'."""
        (loss if self.loss_scale is None else self.loss_scale.up(loss)).backward()  # type: ignore[no-untyped-call]

    def input_gradient(self, loss: Tensor, perturbation: Tensor) -> Tensor:
        """Return the gradient for ``perturbation`` alone: no weight gradient is computed."""
        self._backward_kind = "input_backward"
        try:
            scaled = loss if self.loss_scale is None else self.loss_scale.up(loss)
            (gradient,) = torch.autograd.grad(scaled, [perturbation])
        finally:
            self._backward_kind = "backward"
        return gradient

    def perturbations_finite(self) -> bool:
        """Tell whether everything fed in place of embeddings in the last step was finite."""
        return all(bool(finite) for finite in self._finite)

    @contextmanager
    def training_step(self, dropout: Dropout) -> Iterator[None]:
        """Train mode, with the dropout stream in torch's global generators, for one step."""
        self.network.train(dropout != "off")
        self._finite.clear()
        with self._dropout_stream.active():
            self._shared_masks = self._dropout_stream.snapshot() if dropout == "shared" else None
            try:
                yield
            finally:
                self._shared_masks = None

    def _accepted(self, given: Mapping[str, Tensor]) -> list[str]:
        """Return which inputs the network takes (some encoders know no token types)."""
        types = getattr(self.network.config, "type_vocab_size", 0)
        return [name for name in given if name != "token_type_ids" or types > 1]

    def _note(self, batch: Batch, words: Tensor | None, embedded: Tensor | None) -> None:
        assert self.watch is not None
        if words is not None:
            self.watch.note_words(words, self.words(batch))
        elif embedded is not None:
            self.watch.note_embedded(embedded)

    def _count_forward(self, batch: Batch) -> None:
        self.meter.forward += 1
        self.meter.examples += len(batch.ids)
        self.meter.tokens += batch.tokens
        self.meter.computed_tokens += batch.ids.numel() if self._packing is None else batch.tokens

    def _count_backward(self, _: Tensor) -> None:
        setattr(self.meter, self._backward_kind, getattr(self.meter, self._backward_kind) + 1)

    def _swap_words(self, _module: nn.Module, _inputs: Any, _output: Tensor) -> Tensor | None:
        return self._replace["words"]

    def _swap_embedded(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        self._embedded = output if self._replace["embedded"] is None else self._replace["embedded"]
        return self._embedded

    def _keep_last_hidden(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self._last_hidden = output.last_hidden_state[:, 0]
