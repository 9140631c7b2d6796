"""Bundles: the results of one experiment in one archive, and merging them into another clone."""

import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.config import catalogue
from harness.config.experiment import NAME, load_experiment
from harness.config.lockfile import Locked, add_missing, read_locked
from harness.plan.plan import Plan
from harness.results.export import EXPORTED
from harness.runs.folder import RunFolder
from harness.runs.provenance import current_commit
from harness.util.errors import HarnessError
from harness.util.files import write_bytes
from harness.util.hashing import file_digest
from harness.util.lock import holders_of
from harness.util.paths import CONFIG, ROOT, display_path

MANIFEST, LOCKS = "manifest.json", "locks.json"
RECORDS = (
    "result.json", "config.yaml", "provenance.json", "metrics.jsonl", "predictions.parquet",
    "verification.json", "attempts/*.log",
)  # fmt: skip
"""Files of a run folder in a bundle: no weights, no checkpoints, no locks."""
Keep = Literal["ours", "theirs"]


class Manifest(BaseModel):
    """``manifest.json``: the content of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    experiment: str = Field(pattern=NAME)
    runs: int
    """Runs with a result."""
    planned: int
    commit: str | None
    dirty: bool | None
    diff_sha256: str | None
    git_error: str | None = None
    files: dict[str, str]
    """Path in the archive to SHA-256."""


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge, in numbers of runs."""

    experiment: str
    file: Path
    """The experiment file, for Snakemake."""
    added: int
    kept: int
    conflicts: int


def make_bundle(plan: Plan, target: Path) -> Manifest:
    """Write the archive; return its manifest. The same results give the same bytes.

    Raises:
        HarnessError: the exported files are missing.
    """
    complete = [run for run in plan.runs if RunFolder(plan.run_folder(run)).result() is not None]
    files = _experiment_files(plan)
    for run in complete:
        folder = plan.run_folder(run)
        for path in sorted(p for pattern in RECORDS for p in folder.glob(pattern)):
            files[f"runs/{run.folder}/{path.relative_to(folder)}"] = path.read_bytes()
    manifest = Manifest(
        experiment=plan.experiment.name,
        runs=len(complete),
        planned=len(plan.runs),
        **asdict(current_commit()),
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    )
    _write(target, {MANIFEST: f"{manifest.model_dump_json(indent=1)}\n".encode(), **files})
    return manifest


def _experiment_files(plan: Plan) -> dict[str, bytes]:
    """Return the files of the bundle that are not about single runs, by their path in the archive."""
    files: dict[str, bytes] = {}
    for name in ("plan.json", *EXPORTED):
        path = plan.folder / name
        if not path.is_file():
            raise HarnessError(f"{display_path(path)}: no such file; make it with: snakemake tables")
        files[name] = path.read_bytes()
    files["experiment.yaml"] = plan.file.read_bytes()
    files[LOCKS] = _locks(plan).model_dump_json(indent=1).encode()
    files["environment/constraints.txt"] = (ROOT / "requirements" / "constraints.txt").read_bytes()
    files["environment/installed.txt"] = _installed().encode()
    tuned = plan.folder / "tuned"
    return files | {f"tuned/{p.relative_to(tuned)}": p.read_bytes() for p in sorted(tuned.glob("*/*/*"))}


def _locks(plan: Plan) -> Locked:
    """Return what is locked of the plan's tasks and models; another clone has no keys without it."""
    experiment, files = plan.experiment, catalogue.task_files(plan.experiment.task_folders())
    owners = {cell.task.owner(part)[0].name for cell in plan.cells for part in cell.task.used()}
    tasks = {
        name: entry
        for name in sorted(owners)
        if (entry := read_locked(catalogue.lock_folder(files[name])).tasks.get(name)) is not None
    }
    models = {name: m for name, m in read_locked(CONFIG).models.items() if name in experiment.models}
    return Locked(tasks=tasks, models=models)


def _add_locks(source: Path, target: Path) -> None:
    """Lock what the bundle has locked, beside the task files here, where nothing is locked yet."""
    path = source / LOCKS
    if not path.is_file():  # a bundle of an earlier version
        return
    locked = Locked.model_validate_json(path.read_text(encoding="utf-8"))
    folders = load_experiment(target / "experiment.yaml").task_folders()
    files = catalogue.task_files(tuple(folder for folder in folders if folder.is_dir()))
    for name, entry in locked.tasks.items():
        if name in files:
            add_missing(catalogue.lock_folder(files[name]), Locked(tasks={name: entry}))
    add_missing(CONFIG, Locked(models=locked.models))


def _installed() -> str:
    versions = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return "".join(f"{name}=={versions[name]}\n" for name in sorted(versions, key=str.lower))


def _write(target: Path, files: dict[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial")
    with (
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    temporary.replace(target)


def merge_bundle(archive: Path, results: Path, keep: Keep | None = None) -> Merged:
    """Add the runs of a bundle to ``results``.

    A run that exists here with an equal result, apart from times, is kept. If any results differ, nothing is
    added unless ``keep`` is given; with ``theirs``, our run is moved to ``replaced/``.

    Raises:
        HarnessError: the archive is damaged, a run is being trained here, or results differ.
    """
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=results, prefix=".merge-") as name:
        source = Path(name)
        manifest = _unpack(archive, source)
        target = results / manifest.experiment
        theirs = [path.parent for path in sorted(source.glob("runs/*/*/*/*/result.json"))]
        pairs = [(folder, target / folder.relative_to(source)) for folder in theirs]
        conflicts = _conflicts(pairs, keep)
        added = sum(_add(folder, ours, target, conflicts, keep) for folder, ours in pairs)
        _copy_missing(source, target)
        _add_locks(source, target)
    file = target / "experiment.yaml"
    return Merged(manifest.experiment, file, added, len(pairs) - added, len(conflicts))


def _conflicts(pairs: list[tuple[Path, Path]], keep: Keep | None) -> dict[Path, str]:
    """Return the folders here whose results differ from theirs, and in what.

    Raises:
        HarnessError: a run is being trained here, or results differ and ``keep`` is None.
    """
    if busy := list(map(display_path, holders_of(ours for _, ours in pairs))):
        raise HarnessError(f"being trained here, so nothing was added: {', '.join(busy)}")
    conflicts = {ours: why for theirs, ours in pairs if (why := _conflict(theirs, ours))}
    if conflicts and keep is None:
        lines = "\n".join(f"  - {display_path(ours)}: {why}" for ours, why in conflicts.items())
        raise HarnessError(
            f"{len(conflicts)} runs differ, nothing was added (use --keep ours or --keep theirs):\n{lines}"
        )
    return conflicts


def _copy_missing(source: Path, target: Path) -> None:
    """Copy the experiment file and tuned files that do not exist here."""
    for path in [source / "experiment.yaml", *(p for p in source.glob("tuned/*/*/*") if p.is_file())]:
        ours = target / path.relative_to(source)
        if not ours.is_file():
            ours.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, ours)


def _unpack(archive: Path, folder: Path) -> Manifest:
    """Unpack into ``folder`` and check every file against the manifest."""
    try:
        with tarfile.open(archive, "r:gz") as packed:
            _extract(packed, folder)
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HarnessError(f"{archive}: not a bundle: {error.filename} is missing") from None
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise HarnessError(f"{archive}: not a complete bundle: {' '.join(str(error).split())}") from None
    present = {str(p.relative_to(folder)): file_digest(p) for p in folder.rglob("*") if p.is_file()}
    present.pop(MANIFEST)
    if present != manifest.files:
        names = present.keys() | manifest.files.keys()
        wrong = sorted(name for name in names if present.get(name) != manifest.files.get(name))
        raise HarnessError(f"{archive}: differs from its manifest: {', '.join(wrong[:5])}")
    return manifest


def _extract(packed: tarfile.TarFile, folder: Path) -> None:
    """Write only plain files inside ``folder`` (the library's filter is missing before Python 3.11.4)."""
    for member in packed.getmembers():
        path, content = Path(member.name), packed.extractfile(member) if member.isfile() else None
        if content is None or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{member.name!r} is not a plain file inside it")
        write_bytes(folder / path, content.read())


def _conflict(theirs: Path, ours: Path) -> str | None:
    """Return in what the two results differ, apart from times; None if they are equal or one is missing."""
    new, old = RunFolder(theirs).result(), RunFolder(ours).result()
    if new is None:
        raise HarnessError(f"{theirs.name}: the bundle has a damaged result.json")
    if old is None:
        return None
    before, after = old.timeless(), new.timeless()
    changed = [key for key in before if before[key] != after[key]]
    return f"differs in {', '.join(changed)}" if changed else None


def _add(theirs: Path, ours: Path, target: Path, conflicts: dict[Path, str], keep: Keep | None) -> bool:
    """Move one run folder to its place; return whether it was added."""
    if ours.exists():
        if RunFolder(ours).result() is not None and not (ours in conflicts and keep == "theirs"):
            return False
        aside = target / "replaced" / ours.relative_to(target)
        aside.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists():
            raise HarnessError(f"{display_path(aside)} already exists, from an earlier merge; move it away")
        ours.rename(aside)
    ours.parent.mkdir(parents=True, exist_ok=True)
    theirs.rename(ours)
    return True
