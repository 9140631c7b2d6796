"""Torch, imported at its first use.

Plans, tables and ``--help`` need the declarations of a method, not its arithmetic, and importing torch takes
seconds. So a method file has ``from harness.methods.lazy import torch``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
    import torch.nn.functional as functional
else:

    class _Lazy:
        """A module that is imported when its first attribute is read."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self._name), attribute)

    torch = _Lazy("torch")
    functional = _Lazy("torch.nn.functional")

__all__ = ["functional", "torch"]
