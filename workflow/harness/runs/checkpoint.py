"""Checkpoints of a run: folders that are written atomically. The previous one is kept.

``<n>/`` has one safetensors file per group of tensors and ``state.json`` with all other state, the run's
key, the hash of every file and its own hash.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from harness.engine.trainer import State
from harness.util.errors import HarnessError
from harness.util.files import complete_folder, write_bytes, write_text
from harness.util.hashing import digest, file_digest
from harness.util.lock import Lock
from harness.util.paths import display_path

log = logging.getLogger(__name__)
STATE = "state.json"
FORMAT = 2
"""Version of the format. Raise it when ``State`` changes: other versions count as damaged."""


class DamagedError(Exception):
    """A checkpoint differs from what was written."""


class Checkpoints:
    """The checkpoints of one run. They are written only while ``lock``, the run's lock, is held."""

    def __init__(self, folder: Path, run_key: str, lock: Lock) -> None:
        self.folder, self._lock = folder, lock
        self.run_key = run_key
        self._intact: int | None = None
        """Number of the newest checkpoint that was verified."""

    def write(self, state: State) -> None:
        """Write a checkpoint, and keep the previous one beside it.

        Raises:
            OSError: the checkpoint could not be written; the previous one is unchanged.
            LostLockError: another process has taken the lock; nothing is written.
        """
        self._lock.check()
        number = max(self._numbers(), default=0) + 1
        self._clean()
        with complete_folder(self.folder / str(number)) as building:
            files = {name: _write_group(building, name, group) for name, group in state.tensors.items()}
            content = {"format": FORMAT, "run_key": self.run_key, "facts": state.facts, "files": files}
            write_text(building / STATE, json.dumps({**content, "sha256": digest(content)}, indent=1) + "\n")
        self._intact = number

    def newest(self) -> State | None:
        """Return the state of the newest intact checkpoint, or None; log a warning for each damaged one.

        Raises:
            HarnessError: a checkpoint belongs to another run.
        """
        numbers = self._numbers()
        for number in numbers:
            try:
                state = self._read(self.folder / str(number))
                self._intact = number
                return state
            except DamagedError as error:
                path = display_path(self.folder / str(number))
                action = "using the previous one" if number != numbers[-1] else "the run starts over"
                log.warning("checkpoint %s is damaged (%s); %s", path, error, action)
        return None

    def clear(self) -> None:
        """Delete all checkpoints, once the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        """Return the numbers of the checkpoints, newest first."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((int(p.name) for p in paths if p.name.isdigit()), reverse=True)

    def _clean(self) -> None:
        """Delete older, damaged and incomplete checkpoints; keep the newest intact one."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name != str(self._intact):
                shutil.rmtree(path)

    def _read(self, path: Path) -> State:
        import safetensors.torch

        content = _state(path / STATE)
        if content.get("format") != FORMAT:
            raise DamagedError(f"format {content.get('format')}, expected {FORMAT}")
        if content["run_key"] != self.run_key:
            raise HarnessError(
                f"{display_path(path)} belongs to the run with key {content['run_key'][:8]}, "
                f"but this run has key {self.run_key[:8]}; move the folder away"
            )
        tensors = {}
        for group, entry in content["files"].items():
            file = path / f"{group}.safetensors"
            if not file.is_file():
                raise DamagedError(f"{file.name} is missing")
            if file_digest(file) != entry["sha256"]:
                raise DamagedError(f"{file.name} was changed after it was written (its hash differs)")
            by_name = safetensors.torch.load_file(file)
            tensors[group] = {name: by_name[name] for name in entry["names"]}  # in their original order
        return State(content["facts"], tensors)


def _write_group(folder: Path, group: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Write one group of tensors; return the hash of its file, and the names in their order."""
    import safetensors.torch

    content = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    write_bytes(folder / f"{group}.safetensors", content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "names": list(tensors)}


def _state(path: Path) -> dict[str, Any]:
    """Return the content of state.json without its own hash."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        expected = content.pop("sha256")
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise DamagedError(f"{path.name} is not readable: {type(error).__name__}") from None
    if digest(content) != expected:
        raise DamagedError(f"{path.name} was changed after it was written (its hash differs)")
    state: dict[str, Any] = content
    return state
