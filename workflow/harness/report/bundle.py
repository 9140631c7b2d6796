"""Bundles: the results of one experiment in one archive, and their way into another clone."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.paths import ROOT, shown
from harness.plan.keys import file_digest
from harness.plan.plan import Plan
from harness.report.export import EXPORTED
from harness.runs.atomic import write_bytes
from harness.runs.folder import RunFolder
from harness.runs.lock import is_held
from harness.runs.provenance import commit
from harness.runs.record import TIME_FIELDS, Result

FORMAT = 1
MANIFEST = "manifest.json"
RECORDS = (
    "result.json", "config.yaml", "provenance.json", "metrics.jsonl", "predictions.parquet",
    "verification.json", "attempts/*.log",
)  # fmt: skip
"""What a bundle takes of a run folder: no weights, no checkpoints, no locks."""


def make_bundle(plan: Plan, target: Path) -> dict[str, Any]:
    """Write the archive; return its manifest. The same results give the same bytes.

    Raises:
        HarnessError: no run has a result, or the frame has not been made.
    """
    files: dict[str, bytes] = {}
    for name in ("plan.json", *EXPORTED):
        path = plan.folder / name
        if not path.is_file():
            raise HarnessError(f"{path}: there is no such file; make it with: snakemake tables")
        files[name] = path.read_bytes()
    files["experiment.yaml"] = plan.file.read_bytes()
    files["environment/constraints.txt"] = (ROOT / "requirements" / "constraints.txt").read_bytes()
    files["environment/installed.txt"] = _installed().encode()
    whole = [run for run in plan.runs if RunFolder(plan.run_folder(run)).result() is not None]
    for run in whole:
        folder = plan.run_folder(run)
        for path in sorted(p for pattern in RECORDS for p in folder.glob(pattern)):
            files[f"runs/{run.folder}/{path.relative_to(folder)}"] = path.read_bytes()
    manifest = {
        "format": FORMAT,
        "experiment": plan.experiment.name,
        "runs": len(whole),
        "planned": len(plan.runs),
        **commit(),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    _write(target, {MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode(), **files})
    return manifest


def _installed() -> str:
    found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


def _write(target: Path, files: dict[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial")
    with (
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    temporary.replace(target)


def merge_bundle(archive: Path, results: Path, keep: str | None = None) -> dict[str, Any]:
    """Take the runs of a bundle into ``results``; return the experiment and what became of each run.

    A run that is here already is kept when it says the same, up to times. Where it does not, nothing is
    taken unless ``keep`` says ``ours`` or ``theirs`` (ours then moves to ``replaced/``).

    Raises:
        HarnessError: the archive is broken, a run is being trained here, or runs conflict.
    """
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=results, prefix=".merge-") as name:
        source = Path(name)
        manifest = _unpack(archive, source)
        target = results / manifest["experiment"]
        pairs = [(path.parent, target / path.parent.relative_to(source)) for path in _results(source)]
        if busy := [shown(there) for _, there in pairs if is_held(there)]:
            raise HarnessError(f"being trained here, so nothing was taken: {', '.join(busy)}")
        conflicts = {there: why for here, there in pairs if (why := _conflict(here, there))}
        if conflicts and keep is None:
            told = "\n".join(f"  - {shown(there)}: {why}" for there, why in conflicts.items())
            raise HarnessError(
                f"{len(conflicts)} runs conflict, nothing was taken (--keep ours or --keep theirs):\n{told}"
            )
        counts = {"taken": 0, "kept": 0, "conflicts": len(conflicts)}
        for here, there in pairs:
            counts["taken" if _take(here, there, target, conflicts, keep) else "kept"] += 1
        if not (target / "experiment.yaml").is_file():
            shutil.copyfile(source / "experiment.yaml", target / "experiment.yaml")
    return {"experiment": manifest["experiment"], "file": target / "experiment.yaml", **counts}


def _results(source: Path) -> list[Path]:
    return sorted(source.glob("runs/*/*/*/*/result.json"))


def _unpack(archive: Path, folder: Path) -> dict[str, Any]:
    """Unpack into ``folder`` and check every file against the manifest."""
    try:
        with tarfile.open(archive, "r:gz") as packed:
            _extract(packed, folder)
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HarnessError(f"{archive}: no bundle: {error.filename} is not there") from None
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise HarnessError(f"{archive}: no whole bundle: {error}") from None
    if manifest.get("format") != FORMAT:
        raise HarnessError(f"{archive}: format {manifest.get('format')}, expected {FORMAT}")
    if Path(manifest["experiment"]).name != manifest["experiment"]:
        raise HarnessError(f"{archive}: no name of an experiment: {manifest['experiment']!r}")
    present = {str(p.relative_to(folder)): file_digest(p) for p in folder.rglob("*") if p.is_file()}
    present.pop(MANIFEST)
    if present != manifest["files"]:
        wrong = sorted(
            k for k in present.keys() | manifest["files"].keys() if present.get(k) != manifest["files"].get(k)
        )
        raise HarnessError(f"{archive}: not what its manifest says: {', '.join(wrong[:5])}")
    return manifest


def _extract(packed: tarfile.TarFile, folder: Path) -> None:
    """Write plain files inside ``folder`` and nothing else (the library's own filter came with 3.11.4)."""
    for member in packed.getmembers():
        path, content = Path(member.name), packed.extractfile(member) if member.isfile() else None
        if content is None or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{member.name!r} is no plain file inside it")
        write_bytes(folder / path, content.read())


def _conflict(here: Path, there: Path) -> str | None:
    """Return in what the record in ``there`` contradicts that in ``here``, None if it does not."""
    theirs, ours = RunFolder(here).result(), RunFolder(there).result()
    if theirs is None:
        raise HarnessError(f"{here.name}: the bundle holds a broken result.json")
    if ours is None:
        return None
    old, new = _timeless(ours), _timeless(theirs)
    apart = [key for key in old if old[key] != new[key]]
    return f"differs in {', '.join(apart)}" if apart else None


def _timeless(result: Result) -> dict[str, Any]:
    content = result.model_dump()
    content["cost"] = {key: value for key, value in content["cost"].items() if key not in TIME_FIELDS}
    return content


def _take(here: Path, there: Path, target: Path, conflicts: dict[Path, str], keep: str | None) -> bool:
    """Move one run folder to its place; tell whether it was taken."""
    if there.exists():
        if RunFolder(there).result() is not None and not (there in conflicts and keep == "theirs"):
            return False
        aside = target / "replaced" / there.relative_to(target)
        aside.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists():
            raise HarnessError(f"{shown(aside)} is in the way: an earlier merge put it there")
        there.rename(aside)
    there.parent.mkdir(parents=True, exist_ok=True)
    here.rename(there)
    return True
