"""Random streams: one each for head, data order, dropout and perturbation.

Each starts from a hash of (seed, stream, task, model), not of the method: all methods of one seed
see the same head and the same batches, so that they can be compared in pairs.
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

    Inside ``with stream:`` the global state is the stream's; afterwards the outer state is back.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        with self._outer_kept():
            torch.manual_seed(seed)
            self.state = self._get()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Load the stream into the global generators for a while."""
        with self._outer_kept():
            self._set(self.state)
            try:
                yield
            finally:
                self.state = self._get()

    def snapshot(self) -> list[Tensor]:
        """Return the state of the global generators, to come back to inside ``active``."""
        return self._get()

    def reload(self, states: list[Tensor]) -> None:
        """Go back to a snapshot: the next draws are those that followed it."""
        self._set(states)

    @contextmanager
    def _outer_kept(self) -> Iterator[None]:
        outer = self._get()
        try:
            yield
        finally:
            self._set(outer)

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
        """Return standard normal numbers shaped as ``like``."""
        return torch.empty_like(like, requires_grad=False).normal_(generator=self.generator)

    def uniform(self, like: Tensor) -> Tensor:
        """Return numbers uniform in [0, 1) shaped as ``like``."""
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
        """Return where order, dropout and perturbation stand (the head is drawn once), to go on from."""
        return {
            "order": self.order.get_state(),
            "perturbation": self.perturbation.generator.get_state(),
            **{f"dropout.{number}": state for number, state in enumerate(self.dropout.state)},
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` returned."""
        self.order.set_state(state["order"])
        self.perturbation.generator.set_state(state["perturbation"])
        self.dropout.state = [state[f"dropout.{number}"] for number in range(len(self.dropout.state))]
