"""Python imports this when it starts with the folder on PYTHONPATH: what a process reaches for is noted."""

import os
import sys
from pathlib import Path

NOTES = Path(os.environ["WATCH_NOTES"])
WATCHED = ("sqlite3.connect", "socket.connect", "socket.getaddrinfo")


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event in WATCHED:
        where = os.environ.get("SLURM_JOB_ID", "login")
        with NOTES.open("a") as stream:
            stream.write(f"{where} {event} {sys.argv[:3]} {arguments}\n")


sys.addaudithook(note)
