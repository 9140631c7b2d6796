"""The state of a training between two batches: all that going on from there takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.core.encoder import Encoder


@dataclass(frozen=True)
class State:
    """Facts that JSON holds, and tensors by group and name; a tensor may be the live one."""

    facts: dict[str, Any]
    tensors: dict[str, dict[str, Tensor]]


def put_weights(encoder: Encoder, weights: Mapping[str, Tensor]) -> None:
    """Copy ``weights`` into the encoder's parameters, in place: the optimizer holds the same tensors."""
    with torch.no_grad():
        for name, parameter in encoder.named_parameters().items():
            parameter.copy_(weights[name])
