"""Model: a pre-trained encoder. Every run adds a new head to it."""

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.config.base import Strict

SHA256 = "^[0-9a-f]{64}$"


class PackagedModel(Strict):
    """Weights and tokenizer inside an installed Python package."""

    distribution: str = Field(description="name on the package index")
    version: str = Field(description="exact version")
    module: str = Field(description="name of the folder in site-packages")
    folder: str = Field(description="folder with config.json, model.safetensors and the tokenizer")


class HubModel(Strict):
    """Weights and tokenizer on the Hugging Face Hub, downloaded by ``fetch``."""

    repo: str = Field(description="<owner>/<name>")
    revision: str = Field(default="main", description="commit, tag or branch; `fetch` locks the commit")


class Model(Strict):
    """One file of ``config/models``, or ``<owner>/<name>[@revision]`` on the Hub."""

    renamed: ClassVar = {"seen": "contamination"}
    title: str = Field(description="name in tables")
    package: PackagedModel | None = Field(default=None, description="files in an installed Python package")
    hub: HubModel | None = Field(default=None, description="files on the Hugging Face Hub")
    weights_sha256: str | None = Field(
        default=None, pattern=SHA256, description="SHA-256 of model.safetensors"
    )
    tokenizer_sha256: str | None = Field(
        default=None, pattern=SHA256, description="SHA-256 of tokenizer.json"
    )
    configuration_sha256: str | None = Field(
        default=None,
        pattern=SHA256,
        description="hash of config.json and of the tokenizer's settings; `fetch` locks it",
    )
    random: dict[str, Any] | None = Field(
        default=None,
        description="configuration values of a randomly initialised encoder; then only the tokenizer is read",
    )
    layers: int | None = Field(default=None, ge=1, description="transformer layers, for cost estimates")
    width: int | None = Field(default=None, ge=1, description="hidden width, for cost estimates")
    contamination: dict[str, str] = Field(
        default={}, description="task to the reason why the model was trained on its data"
    )
    licence: str = Field(description="terms of the weights")
    citation: str = Field(description="where the model was published")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.random is not None and "model_type" not in self.random:
            raise ValueError("random to name its model_type (bert, roberta, ...)")
        if (self.package is None) == (self.hub is None):
            raise ValueError("one source: package or hub")
        return self

    @property
    def known(self) -> bool:
        """Whether the hashes of weights, tokenizer and configuration are declared or locked."""
        weights = self.random is not None or self.weights_sha256 is not None
        return weights and self.tokenizer_sha256 is not None and self.configuration_sha256 is not None

    @property
    def encoder_parameters(self) -> int | None:
        """Number of weights in the layers' matrices, 12 width^2 per layer; None if the size is not stated."""
        return 12 * self.layers * self.width**2 if self.layers and self.width else None

    def tokenizer_identity(self) -> Any:
        """Return what determines the token ids."""
        if self.tokenizer_sha256 is None or self.configuration_sha256 is None:
            return self._not_fetched()
        return [self.tokenizer_sha256, self.configuration_sha256]

    def identity(self) -> dict[str, Any]:
        """Return what determines the results: weights (or random values), tokenizer, configuration."""
        if self.random is not None:
            return {"random": self.random, "tokenizer": self.tokenizer_identity()}
        return {
            "weights": self.weights_sha256 or self._not_fetched(),
            "tokenizer": self.tokenizer_identity(),
        }

    def _not_fetched(self) -> dict[str, Any]:
        return {"not fetched": self.hub.model_dump() if self.hub else None}
