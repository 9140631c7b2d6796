"""Atomic writes: a file or folder appears complete or not at all, with the permissions of the umask."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""Errors of file systems that cannot flush a folder, or flush it with every rename."""


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on exit, flush its content and rename it to ``path``.

    If the body raises, ``path`` is unchanged.

    Raises:
        OSError: it names ``path``; a full disk would name no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = hidden_beside(path)
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _naming(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on exit, rename it to ``path``, which must not exist then.

    If the body raises, there is no ``path``.

    Raises:
        OSError: it names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = hidden_beside(path)
    try:
        building.mkdir()
        yield building
        building.rename(path)
        _flush(path.parent)
    except OSError as error:
        raise _naming(error, path) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    with complete_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def hidden_beside(path: Path) -> Path:
    """Return a new hidden path; ``tempfile`` would ignore the umask."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")


def _naming(error: OSError, path: Path) -> OSError:
    """Return the error with ``path`` if it names no file."""
    if error.filename is not None or error.errno is None:
        return error
    return OSError(error.errno, error.strerror, str(path))


def _flush(folder: Path) -> None:
    """Flush ``folder`` to disk, so that a rename in it survives a power failure."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
