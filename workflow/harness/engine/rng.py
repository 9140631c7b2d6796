"""Random streams: one each for head, data order, dropout and perturbation.

Each is seeded by a hash of (seed, stream, task, model), not of the method: all methods of one seed start with
the same head and see the same batches, so that comparisons are paired.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

STREAMS = ("head", "order", "dropout", "perturbation")


def stream_seed(seed: int, stream: str, task: str, model: str) -> int:
    """Return the 63-bit seed of a stream."""
    text = "/".join([str(seed), stream, task, model])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class GlobalStream:
    """A stream for code that draws from torch's global generators (dropout, weight initialisation).

    Inside of ``with stream.active():`` the global state is that of the stream; afterwards it is restored.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        with self._restored():
            torch.manual_seed(seed)
            self.state = self._get()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from the stream inside of the context."""
        with self._restored():
            self._set(self.state)
            try:
                yield
            finally:
                self.state = self._get()

    def snapshot(self) -> list[Tensor]:
        """Return the state of the global generators, for ``reload`` inside of ``active``."""
        return self._get()

    def reload(self, states: list[Tensor]) -> None:
        """Return to a snapshot: the next draws are those that followed it."""
        self._set(states)

    @contextmanager
    def _restored(self) -> Iterator[None]:
        states = self._get()
        try:
            yield
        finally:
            self._set(states)

    def _get(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        return states

    def _set(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states[1], self.device)


class GeneratorDraws:
    """The perturbation stream, as methods see it."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers in the shape of ``like``."""
        return torch.empty_like(like, requires_grad=False).normal_(generator=self.generator)

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers from [0, 1) in the shape of ``like``."""
        return torch.empty_like(like, requires_grad=False).uniform_(generator=self.generator)


class Streams:
    """The streams of one run."""

    def __init__(self, seed: int, task: str, model: str, device: torch.device) -> None:
        self.seeds = {stream: stream_seed(seed, stream, task, model) for stream in STREAMS}
        self.head = GlobalStream(self.seeds["head"], device)
        self.order = torch.Generator().manual_seed(self.seeds["order"])
        self.dropout = GlobalStream(self.seeds["dropout"], device)
        self.perturbation = GeneratorDraws(self.seeds["perturbation"], device)

    def state(self) -> dict[str, Tensor]:
        """Return the states of order, dropout and perturbation; the head is drawn only once."""
        return {
            "order": self.order.get_state(),
            "perturbation": self.perturbation.generator.get_state(),
            **{f"dropout.{number}": state for number, state in enumerate(self.dropout.state)},
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what ``state`` returned."""
        self.order.set_state(state["order"])
        self.perturbation.generator.set_state(state["perturbation"])
        self.dropout.state = [state[f"dropout.{number}"] for number in range(len(self.dropout.state))]
