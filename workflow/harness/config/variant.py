"""Variant: a method with some arguments fixed."""

from typing import Any

from pydantic import Field

from harness.config.base import Strict


class Variant(Strict):
    """One entry of ``config/variants.yaml``.

    An entry with a parent inherits the parent's method and arguments, and overrides those that it states.
    """

    method: str = Field(default="", description="name of a method; default: the parent's method")
    parent: str | None = Field(
        default=None, description="variant whose arguments this one inherits and overrides"
    )
    arguments: dict[str, Any] = Field(
        default={}, description="arguments that differ from the parent's or from the defaults"
    )
    epochs_times: int = Field(
        default=1, ge=1, description="factor on the protocol's epochs, for equal compute"
    )
    note: str = Field(description="one sentence for tables")
    source: str = Field(description="paper section or released file that it follows")

    def inherit(self, parent: "Variant") -> "Variant":
        """Return the variant with the method and the arguments of ``parent`` below its own."""
        arguments = {**parent.arguments, **self.arguments}
        return self.model_copy(update={"method": parent.method, "arguments": arguments})
