"""The encoder with its head, as methods see it (``harness.methods.interface.Model``).

It is used through its word-embedding layer and its forward pass, never by the name of an architecture: hooks
replace the output of a layer by a perturbed tensor. Every pass and every backward pass is counted where it
happens.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from harness.data.pretrained import check_network, unsupported_error
from harness.engine.kernels.speed_up import speed_up
from harness.engine.loss_scale import LossScale
from harness.engine.microbatch import in_micro_batches
from harness.engine.recorder import Recorder
from harness.engine.rng import GlobalStream
from harness.methods.interface import Batch, Draws, Pass, PassCount, forward_equivalents

Dropout = Literal["independent", "shared", "off"]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Meter:
    """Counts of what was computed."""

    forward: int = 0
    backward: int = 0
    input_backward: int = 0
    optimizer_steps: int = 0
    skipped_steps: int = 0
    """Steps that fp16 left out because a scaled gradient overflowed."""
    examples: int = 0
    """Examples in all forward passes; the next two count those in backward passes."""
    backward_examples: int = 0
    input_backward_examples: int = 0
    tokens: int = 0
    computed_tokens: int = 0

    def passes(self) -> PassCount:
        """Return the counts that a method declares; a skipped step counts as one that it took."""
        steps = self.optimizer_steps + self.skipped_steps
        return PassCount(self.forward, self.backward, self.input_backward, steps)

    @property
    def forward_equivalents(self) -> int:
        """Cost of all passes in forward passes of one example."""
        return forward_equivalents(self.examples, self.backward_examples, self.input_backward_examples)

    def since(self, before: "Meter") -> tuple[PassCount, int]:
        """Return the passes since ``before``, and their cost in forward passes of one example."""
        new, old = self.passes().as_dict(), before.passes().as_dict()
        passes = PassCount(**{name: value - old[name] for name, value in new.items()})
        return passes, self.forward_equivalents - before.forward_equivalents


@dataclass(frozen=True)
class _Inputs:
    """Tensors that replace the output of a layer in one pass; None keeps that output."""

    inputs_embeds: Tensor | None = None
    embedding_output: Tensor | None = None


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
        fast: bool = True,
    ) -> None:
        """Take over ``network``; with ``fast=False`` the transformers model computes as it is.

        Raises:
            HarnessError: the network has no embedding layer whose output can be replaced.
        """
        check_network(network)
        self.network: nn.Module = network
        self.regression = regression
        self.draws = draws
        self.dropout_stream = dropout_stream
        self.meter = Meter()
        self.recorder: Recorder | None = None
        self.micro_batch: int | None = None
        """Examples computed at a time, to save memory; None computes complete batches."""
        self.device = next(self.network.parameters()).device
        self.loss_scale = LossScale(self.device) if precision == "fp16" else None
        self._autocast = AUTOCAST.get(precision)
        self._unpadding = speed_up(network) if fast else None
        if self._autocast is not None:
            _compute_head_in_float32(network, self.device)
        self._takes_types = getattr(network.config, "type_vocab_size", 0) > 1
        self._finite: list[Tensor] = []
        self._shared_masks: list[Tensor] | None = None
        self._input_only = False
        self._replaced = _Inputs()
        self._embedding_output: Tensor | None = None
        self._last_hidden: Tensor | None = None
        self._word_layer: nn.Module = network.get_input_embeddings()
        self._word_layer.register_forward_hook(self._replace_words)
        network.base_model.embeddings.register_forward_hook(self._replace_embedding_output)
        network.base_model.register_forward_hook(self._keep_last_hidden)

    @property
    def padded(self) -> bool:
        """Whether padding is computed, too."""
        return self._unpadding is None

    def named_parameters(self) -> dict[str, Tensor]:
        """Return the parameters by name, in the network's order."""
        return dict(self.network.named_parameters())

    def input_embeddings(self, batch: Batch) -> Tensor:
        """Return the word-embedding rows of ``batch``, attached; [B, L, D]."""
        rows: Tensor = self._word_layer(batch.input_ids)
        return rows

    def __call__(
        self,
        batch: Batch,
        *,
        inputs_embeds: Tensor | None = None,
        embedding_output: Tensor | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Pass:
        """Run one forward pass (see the interface) and count it."""
        if self.recorder is not None:
            self._record_perturbation(batch, inputs_embeds, embedding_output)
        perturbed = inputs_embeds if inputs_embeds is not None else embedding_output
        if perturbed is not None:
            self._finite.append(perturbed.detach().isfinite().all())  # read only if a loss is not finite
            if self.loss_scale is not None:
                self.loss_scale.guard(perturbed)
        self.count_forward(batch)
        if self._shared_masks is not None:
            self.dropout_stream.reload(self._shared_masks)
        inputs = (batch, inputs_embeds, embedding_output, parameters)
        if self.micro_batch is None or self.micro_batch >= len(batch.input_ids):
            result = self._compute(*inputs)
        else:
            result = in_micro_batches(self._compute, self.micro_batch, *inputs)
        if result.logits.requires_grad:
            result.logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        if self.recorder is not None and perturbed is None and parameters is None:
            self.recorder.clean = result.embedding_output.detach()
        return result

    def _compute(
        self,
        batch: Batch,
        inputs_embeds: Tensor | None,
        embedding_output: Tensor | None,
        parameters: Mapping[str, Tensor] | None,
    ) -> Pass:
        """Run the network on a batch, or on a part of one."""
        if self._unpadding is not None:
            self._unpadding.start(batch.attention_mask)
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if self._takes_types:
            inputs["token_type_ids"] = batch.token_type_ids
        self._replaced = _Inputs(inputs_embeds, embedding_output)
        try:
            with torch.autocast(self.device.type, self._autocast, enabled=self._autocast is not None):
                if parameters is None:
                    output = self.network(**inputs)
                else:
                    output = torch.func.functional_call(self.network, dict(parameters), (), inputs)
        finally:
            self._replaced = _Inputs()
        logits = output.logits.to(torch.get_default_dtype())
        assert self._embedding_output is not None and self._last_hidden is not None
        result = Pass(logits, self._embedding_output, self._last_hidden)
        self._embedding_output = self._last_hidden = None  # keep no tensor of the pass alive
        return result

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy, or the mean squared error of a regression."""
        value = self.example_losses(logits, batch).mean()
        if self.recorder is not None:
            self.recorder.losses.append(float(value.detach()))
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
        """Return the gradient with respect to ``perturbation`` only; weight gradients are not computed."""
        self._input_only = True
        try:
            scaled = loss if self.loss_scale is None else self.loss_scale.up(loss)
            (gradient,) = torch.autograd.grad(scaled, [perturbation])
        finally:
            self._input_only = False
        return gradient

    def perturbations_finite(self) -> bool:
        """Return whether all perturbed embeddings of the last step were finite."""
        return all(bool(finite) for finite in self._finite)

    @contextmanager
    def training_step(self, dropout: Dropout) -> Iterator[None]:
        """Train mode, with the dropout stream in torch's global generators, for one step."""
        self.network.train(dropout != "off")
        self._finite.clear()
        with self.dropout_stream.active():
            self._shared_masks = self.dropout_stream.snapshot() if dropout == "shared" else None
            try:
                yield
            finally:
                self._shared_masks = None

    def count_forward(self, batch: Batch) -> None:
        """Count one forward pass of ``batch``."""
        self.meter.forward += 1
        self.meter.examples += len(batch.input_ids)
        self.meter.tokens += batch.tokens
        self.meter.computed_tokens += batch.input_ids.numel() if self.padded else batch.tokens

    def _count_backward(self, gradient: Tensor) -> None:
        meter, examples = self.meter, len(gradient)
        if self._input_only:
            meter.input_backward += 1
            meter.input_backward_examples += examples
        else:
            meter.backward += 1
            meter.backward_examples += examples

    def _record_perturbation(
        self, batch: Batch, inputs_embeds: Tensor | None, embedding_output: Tensor | None
    ) -> None:
        assert self.recorder is not None
        if inputs_embeds is not None:
            self.recorder.record_words(inputs_embeds, self.input_embeddings(batch))
        elif embedding_output is not None:
            self.recorder.record_embedding_output(embedding_output)

    def _replace_words(self, _module: nn.Module, _inputs: Any, _output: Tensor) -> Tensor | None:
        return self._replaced.inputs_embeds

    def _replace_embedding_output(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            raise unsupported_error(self.network, "its embedding layer does not return one tensor")
        replaced = self._replaced.embedding_output
        self._embedding_output = output if replaced is None else replaced
        return self._embedding_output

    def _keep_last_hidden(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        states = getattr(output, "last_hidden_state", None)
        if not isinstance(states, Tensor):
            raise unsupported_error(self.network, "its encoder returns no last_hidden_state")
        self._last_hidden = states[:, 0]


def _compute_head_in_float32(network: Any, device: torch.device) -> None:
    """Let every module outside the pre-trained encoder compute in float32 under autocast.

    The head costs next to nothing. In bf16 a logit has 8 bits, so consistency losses would train on rounding
    errors, and the scores of a regression would have ties.
    """
    for name, module in network.named_children():
        if name != network.base_model_prefix:
            # A partial is copied with its module, so that the head of a copied network is its own.
            module.forward = partial(_outside_autocast, module.forward, device.type)


def _outside_autocast(forward: Callable[..., Any], device_type: str, *inputs: Any, **options: Any) -> Any:
    with torch.autocast(device_type, enabled=False):
        wide = {name: x.float() if _is_half(x) else x for name, x in options.items()}
        return forward(*(x.float() if _is_half(x) else x for x in inputs), **wide)


def _is_half(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in AUTOCAST.values()
