"""The commit in the provenance: what git reports, and why it did not."""

import os
import subprocess
from pathlib import Path

import pytest

from harness.runs import provenance
from harness.runs.provenance import commit_text, current_commit


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one method, which the harness takes for its own."""
    folder = tmp_path / "clone"
    (folder / "baselines").mkdir(parents=True)
    (folder / "baselines" / "pgd.py").write_text("steps = 3\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    monkeypatch.setattr(provenance, "ROOT", folder)
    return folder


def git(folder: Path, *args: str) -> None:
    subprocess.run(["git", *args], cwd=folder, check=True)


def wrap_git(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the git in PATH handle some command lines by ``case``, and all others as always."""
    script = folder / "git"
    script.write_text(
        f'#!/bin/sh\nPATH={os.environ["PATH"]}\ncase "$*" in {case};; *) exec git "$@";; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_clean_clone_has_a_commit_and_no_difference(clone: Path) -> None:
    commit = current_commit()
    assert commit.commit and commit.dirty is False and commit.diff_sha256 is None
    assert commit_text(vars(commit)) == commit.commit


def test_changed_bytes_of_any_kind_are_in_the_hash(clone: Path) -> None:
    hashes = set()
    for content in (b"steps = 4\n", b"steps = 5\n", b"name = '\xe9'\n"):
        (clone / "baselines" / "pgd.py").write_bytes(content)
        commit = current_commit()
        assert commit.dirty and commit.git_error is None
        hashes.add(commit.diff_sha256)
    assert len(hashes) == 3


def test_the_content_of_an_untracked_method_is_in_the_hash(clone: Path) -> None:
    hashes = set()
    for content in ("steps = 3\n", "steps = 4\n"):
        (clone / "baselines" / "mine.py").write_text(content)
        commit = current_commit()
        assert commit.dirty
        hashes.add(commit.diff_sha256)
    assert len(hashes) == 2
    (clone / "baselines" / "mine.py").unlink()
    (clone / "notes.txt").touch()
    assert current_commit().dirty is False


def test_a_difference_that_git_cannot_report_is_unknown_not_clean(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap_git(tmp_path, "*diff*) echo fatal: unable to read >&2; exit 128", monkeypatch)
    commit = current_commit()
    assert commit.commit and commit.dirty is None and commit.diff_sha256 is None
    assert commit_text(vars(commit)).endswith("uncommitted changes unknown (fatal: unable to read)")


def test_a_repository_of_somebody_else_is_reported_in_gits_words(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    commit = current_commit()
    assert commit.commit is None and commit.dirty is None
    assert commit_text(vars(commit)).startswith("unknown (fatal: detected dubious ownership")


def test_outside_git_there_is_no_commit_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    commit = current_commit()
    assert vars(commit) == {"commit": None, "dirty": None, "diff_sha256": None, "git_error": None}
    assert commit_text(vars(commit)) == "not in git"
