"""Errors that a user can fix: one plain message, no traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class HarnessError(Exception):
    """An error outside the program; the message says what is wrong and how to fix it."""


class ConfigErrors(HarnessError):  # noqa: N818 - it holds several
    """All errors of an experiment or configuration file, reported together before anything starts."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__("\n".join([f"{count}, nothing was started:", *(f"  - {e}" for e in errors)]))


def unknown(kind: str, name: object, names: Iterable[str]) -> str:
    """Return ``unknown task 'stbs'; did you mean 'stsb'? valid: ...``; ``names`` are the valid ones."""
    valid = sorted(names)
    near = get_close_matches(str(name), valid, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"unknown {kind} {str(name)!r}{hint} valid: {', '.join(valid) or 'none'}"
