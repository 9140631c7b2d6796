"""Checkpoints of a run: folders that appear whole or not at all, the previous one kept.

``<n>/`` holds one safetensors file for each group of tensors and ``state.json`` with the rest, the
run's key, and the hash of every file and of itself.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from harness.core.state import State
from harness.errors import HarnessError
from harness.paths import shown
from harness.plan.keys import digest, file_digest
from harness.runs.atomic import write_bytes, write_text

log = logging.getLogger(__name__)
STATE = "state.json"
FORMAT = 1
"""Raise it when ``State`` changes: checkpoints of another format are not read."""


class DamagedError(Exception):
    """A checkpoint is not what was written."""


class Checkpoints:
    """The checkpoints of one run; whoever writes them holds the run's lock."""

    def __init__(self, folder: Path, run_key: str) -> None:
        self.folder = folder
        self.run_key = run_key
        self._whole: int | None = None
        """The newest checkpoint known to be whole."""

    def write(self, state: State) -> None:
        """Write a checkpoint; the newest one stays until this one is whole, and beside it.

        Raises:
            OSError: it could not be written; the newest one is untouched.
        """
        number = max(self._numbers(), default=0) + 1
        self._clean()
        self.folder.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=self.folder, prefix="."))
        try:
            files = {name: _write_group(building, name, group) for name, group in state.tensors.items()}
            content = {"format": FORMAT, "run_key": self.run_key, "facts": state.facts, "files": files}
            write_text(building / STATE, json.dumps({**content, "sha256": digest(content)}, indent=1) + "\n")
            building.chmod(0o755)
            building.rename(self.folder / str(number))
            _flush(self.folder)
            self._whole = number
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise

    def newest(self) -> State | None:
        """Return the newest whole checkpoint, or None; damaged ones are warned about.

        Raises:
            HarnessError: a checkpoint is of another run.
        """
        numbers = self._numbers()
        for number in numbers:
            try:
                state = self._read(self.folder / str(number))
                self._whole = number
                return state
            except DamagedError as error:
                then = "the previous one is taken" if number != numbers[-1] else "the run starts anew"
                log.warning(
                    "checkpoint %s is damaged (%s); %s", shown(self.folder / str(number)), error, then
                )
        return None

    def clear(self) -> None:
        """Delete all checkpoints: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        """Return the numbers of the checkpoints, newest first."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((int(p.name) for p in found if p.name.isdigit()), reverse=True)

    def _clean(self) -> None:
        """Delete all but the newest whole checkpoint: older, damaged and half-written ones."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name != str(self._whole):
                shutil.rmtree(path)

    def _read(self, path: Path) -> State:
        import safetensors.torch

        content = _state(path / STATE)
        if content.get("format") != FORMAT:
            raise DamagedError(f"format {content.get('format')}, expected {FORMAT}")
        if content["run_key"] != self.run_key:
            raise HarnessError(
                f"{shown(path)} belongs to the run with key {content['run_key'][:8]}, "
                f"but this run has key {self.run_key[:8]}; move it away"
            )
        tensors = {}
        for group, of_file in content["files"].items():
            file = path / f"{group}.safetensors"
            if not file.is_file():
                raise DamagedError(f"{file.name} is missing")
            if file_digest(file) != of_file["sha256"]:
                raise DamagedError(f"{file.name} has another hash than when it was written")
            loaded = safetensors.torch.load_file(file)
            tensors[group] = {name: loaded[name] for name in of_file["names"]}  # in their old order
        return State(content["facts"], tensors)


def _write_group(folder: Path, group: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Write one group of tensors; return its hash, and the names in their order."""
    import safetensors.torch

    content = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    write_bytes(folder / f"{group}.safetensors", content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "names": list(tensors)}


def _state(path: Path) -> dict[str, Any]:
    """Return the content of state.json, less its own hash."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        expected = content.pop("sha256")
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise DamagedError(f"{path.name} is not readable: {type(error).__name__}") from None
    if digest(content) != expected:
        raise DamagedError(f"{path.name} has another content than when it was written")
    found: dict[str, Any] = content
    return found


def _flush(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
