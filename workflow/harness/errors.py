"""Mistakes that a user can mend: one plain message, no traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class HarnessError(Exception):
    """Something outside the program is wrong; the message says what, and what to do about it."""


class MistakesError(HarnessError):
    """All mistakes of one experiment, told together."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{count}, nothing was started:", *(f"  - {m}" for m in mistakes)]))


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Return ``unknown task 'stbs'; did you mean 'stsb'? valid: ...``."""
    valid = sorted(known)
    near = get_close_matches(str(name), valid, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"unknown {kind} {str(name)!r}{hint} valid: {', '.join(valid) or 'none'}"
