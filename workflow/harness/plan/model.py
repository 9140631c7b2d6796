"""Model: a pre-trained encoder; every run puts a fresh head on it."""

from typing import Any, Self

from pydantic import Field, model_validator

from harness.plan.strict import Strict


class PackagedModel(Strict):
    """Weights and tokenizer inside an installed Python package."""

    distribution: str = Field(description="name on the package index")
    version: str = Field(description="exact version")
    module: str = Field(description="name of the folder in site-packages")
    folder: str = Field(description="folder with config.json, model.safetensors and the tokenizer")


class Model(Strict):
    """One file of ``config/models``."""

    title: str = Field(description="name in tables")
    package: PackagedModel = Field(description="where weights and tokenizer lie")
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of model.safetensors")
    tokenizer_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of tokenizer.json")
    random: dict[str, Any] | None = Field(
        default=None, description="configuration values of a random encoder: only the tokenizer is then taken"
    )
    seen: dict[str, str] = Field(default={}, description="task to why the model has seen its data")
    licence: str = Field(description="terms of the weights")
    citation: str = Field(description="where the model was published")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.random is not None and "model_type" not in self.random:
            raise ValueError("random to name its model_type (bert, roberta, ...)")
        return self

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers: weights (or the random configuration) and tokenizer."""
        if self.random is not None:
            return {"random": self.random, "tokenizer": self.tokenizer_sha256}
        return {"weights": self.weights_sha256, "tokenizer": self.tokenizer_sha256}
