"""A tiny random encoder and batches, to test methods with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from harness.config import catalogue
from harness.engine.encoder import Encoder
from harness.engine.optim import ScheduledOptimizer
from harness.engine.rng import GeneratorDraws, GlobalStream
from harness.engine.trainer import train_batch
from harness.methods.interface import Batch, Method
from harness.methods.registry import method_class

CPU = torch.device("cpu")


@contextmanager
def float64_on_one_thread() -> Iterator[None]:
    """Compute in float64 on one thread, as parity tests need it; afterwards restore the settings."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def network(family: str = "bert", outputs: int = 3, seed: int = 0, **values: Any) -> Any:
    """Return a random two-layer classifier, or regressor if ``outputs`` is 1.

    ``values`` are further values of its configuration.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    if family == "albert":
        sizes["embedding_size"] = 8
    if family == "modernbert":  # without dropout by default
        sizes |= {"embedding_dropout": 0.1, "mlp_dropout": 0.1, "attention_dropout": 0.1}
    values = {"vocab_size": 50, "max_position_embeddings": 32, "pad_token_id": 0, **sizes, **values}
    with GlobalStream(seed, CPU).active():
        config = AutoConfig.for_model(family, num_labels=outputs, **values)
        classifier = AutoModelForSequenceClassification.from_config(config)
    return classifier.to(torch.get_default_dtype())


def encoder(family: str = "bert", outputs: int = 3, seed: int = 0, fast: bool = True) -> Encoder:
    """Return such a network behind the method interface."""
    return Encoder(
        network(family, outputs, seed),
        regression=outputs == 1,
        draws=GeneratorDraws(seed, CPU),
        dropout_stream=GlobalStream(seed, CPU),
        fast=fast,
    )


def batch(outputs: int = 3, lengths: tuple[int, ...] = (9, 4, 7, 5), seed: int = 0) -> Batch:
    """Return a random batch of texts of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    mask = (torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 50, (len(lengths), longest), generator=generator) * mask
    types = (torch.arange(longest)[None, :] > 3).long() * mask
    labels: Tensor = torch.randint(0, max(outputs, 2), (len(lengths),), generator=generator)
    if outputs == 1:
        labels = labels.to(torch.get_default_dtype())
    return Batch(ids, mask, types, labels, sum(lengths))


def build(method: str | type[Method], **arguments: Any) -> Method:
    """Return a method, given by its class or its name, with these arguments."""
    kind = method_class(method) if isinstance(method, str) else method
    return kind(kind.Arguments(**arguments))


def optimizer(encoder: Encoder, batches: int = 10, **changes: Any) -> ScheduledOptimizer:
    """Return the optimizer of the protocol ``honest`` without warm-up, with these changes."""
    changes = {"warmup": 0.0, "learning_rate": 1e-3, **changes}
    protocol = catalogue.protocol("honest").model_copy(update=changes)
    return ScheduledOptimizer(encoder.network, protocol, batches, encoder.meter, encoder.loss_scale)


def steps(encoder: Encoder, method: Method, count: int = 3, outputs: int = 3) -> list[float]:
    """Train on ``count`` batches; return the losses."""
    updates = optimizer(encoder)
    return [train_batch(encoder, method, batch(outputs, seed=t), updates) for t in range(count)]


def parameters(encoder: Encoder) -> dict[str, Tensor]:
    """Return copies of the parameters."""
    return {name: p.detach().clone() for name, p in encoder.named_parameters().items()}


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference of a parameter."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


class PermutedDraws:
    """Draws of a seed, permuted like the examples of a batch."""

    def __init__(self, seed: int, order: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.order = order

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers; every example keeps its own."""
        return self._permuted(torch.empty_like(like, requires_grad=False).normal_(generator=self.generator))

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers; every example keeps its own."""
        return self._permuted(torch.empty_like(like, requires_grad=False).uniform_(generator=self.generator))

    def _permuted(self, draw: Tensor) -> Tensor:
        per_example = draw.ndim == 3 and len(draw) == len(self.order)
        return draw[self.order] if per_example else draw
