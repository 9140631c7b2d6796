"""A tiny random encoder and batches, to try methods on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from harness.core.encoder import Encoder
from harness.core.loop import train_batch
from harness.core.streams import GeneratorDraws, GlobalStream
from harness.core.update import Update
from harness.methods.interface import Batch, Method
from harness.methods.registry import method_class
from harness.plan import catalogue

CPU = torch.device("cpu")


@contextmanager
def float64_on_one_thread() -> Iterator[None]:
    """Compute in float64 on one thread, as parity wants it; afterwards the outer setting is back."""
    outer, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_default_dtype(outer)
        torch.set_num_threads(threads)


def network(family: str = "bert", outputs: int = 3, seed: int = 0) -> Any:
    """Return a random two-layer classifier, or regressor where ``outputs`` is 1."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    if family == "albert":
        sizes["embedding_size"] = 8
    if family == "modernbert":  # it has no dropout unless asked
        sizes |= {"embedding_dropout": 0.1, "mlp_dropout": 0.1, "attention_dropout": 0.1}
    with GlobalStream(seed, CPU).active():
        config = AutoConfig.for_model(
            family, vocab_size=50, max_position_embeddings=32, pad_token_id=0, num_labels=outputs, **sizes
        )
        made = AutoModelForSequenceClassification.from_config(config)
    return made.to(torch.get_default_dtype())


def encoder(family: str = "bert", outputs: int = 3, seed: int = 0, pack: bool = True) -> Encoder:
    """Return such a network behind the method interface."""
    return Encoder(
        network(family, outputs, seed),
        regression=outputs == 1,
        draws=GeneratorDraws(seed, CPU),
        dropout_stream=GlobalStream(seed, CPU),
        pack=pack,
    )


def batch(outputs: int = 3, lengths: tuple[int, ...] = (9, 4, 7, 5), seed: int = 0) -> Batch:
    """Return a random batch of texts of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    mask = (torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 50, (len(lengths), longest), generator=generator) * mask
    types = (torch.arange(longest)[None, :] > 3).long() * mask
    labels: Tensor = torch.randint(0, max(outputs, 2), (len(lengths),), generator=generator)
    return Batch(
        ids, mask, types, labels.to(torch.get_default_dtype()) if outputs == 1 else labels, sum(lengths)
    )


def build(method: str | type[Method], **arguments: Any) -> Method:
    """Return a method, or the one of this name, with these arguments."""
    kind = method_class(method) if isinstance(method, str) else method
    return kind(kind.Arguments(**arguments))


def update(made: Encoder, batches: int = 10, **changes: Any) -> Update:
    """Return an optimizer with the honest protocol, less its warm-up, and these changes."""
    protocol = catalogue.protocol("honest").model_copy(
        update={"warmup": 0.0, "learning_rate": 1e-3, **changes}
    )
    return Update(made.network, protocol, batches, made.meter)


def steps(made: Encoder, method: Method, count: int = 3, outputs: int = 3) -> list[float]:
    """Train on ``count`` batches; return the losses."""
    optimizer = update(made)
    losses = []
    for t in range(count):
        losses.append(train_batch(made, method, batch(outputs, seed=t), optimizer))
    return losses


def parameters(made: Encoder) -> dict[str, Tensor]:
    """Return copies of the parameters."""
    return {name: p.detach().clone() for name, p in made.named_parameters().items()}


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference of a parameter."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


class PermutedDraws:
    """Draws of a seed whose examples are reordered as the batch is."""

    def __init__(self, seed: int, order: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.order = order

    def normal(self, like: Tensor) -> Tensor:
        """Return normal numbers, those of an example following it."""
        return self._permuted(torch.empty_like(like, requires_grad=False).normal_(generator=self.generator))

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers, those of an example following it."""
        return self._permuted(torch.empty_like(like, requires_grad=False).uniform_(generator=self.generator))

    def _permuted(self, draw: Tensor) -> Tensor:
        per_example = draw.ndim == 3 and len(draw) == len(self.order)
        return draw[self.order] if per_example else draw
