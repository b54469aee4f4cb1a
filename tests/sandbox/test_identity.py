"""A worker started by root becomes a user that nobody else is, and a submission's copy is for such workers alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grading.sandbox import identity

FULL, SMALL, ALONE = "0 0 4294967295", "0 100000 65536", "0 1000 1"


@pytest.fixture
def root_of(monkeypatch: pytest.MonkeyPatch):
    """Return `root_of(map)`, which makes the grader root of a user namespace with these users and groups."""

    def become(users: str) -> None:
        """Make the grader seem to be root where /proc lists these users."""
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(Path, "read_text", lambda _path: users + "\n")

    return become


def test_each_worker_of_root_is_another_user(root_of):
    """The kernel counts threads by user."""
    root_of(FULL)
    numbers = {identity.choose_worker_user_id() for _ in range(20)}
    assert len(numbers) == 20
    assert min(numbers) >= identity.FIRST
    assert max(numbers) < 1 << 31


def test_a_container_s_root_makes_its_workers_nobody_or_leaves_them(root_of):
    """The result depends on which users the container has to assign."""
    root_of(SMALL)
    assert identity.choose_worker_user_id() == identity.NOBODY
    root_of(ALONE)
    assert identity.choose_worker_user_id() is None
    assert not identity.can_change_user()


def test_whoever_is_not_root_has_no_users_to_give(monkeypatch):
    """Workers keep the grader's user."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert identity.choose_worker_user_id() is None


@pytest.mark.skipif(not identity.can_change_user(), reason="only root gives files away")
def test_the_copy_is_readable_by_its_workers_alone(tmp_path):
    """Other users of the machine cannot read the copy, and only the grader can write to it."""
    file = tmp_path / "copy" / "m" / "code.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    identity.let_only_workers_read_if_root(tmp_path / "copy")
    for path in (tmp_path / "copy", file.parent, file):
        assert path.stat().st_gid == identity.NOBODY
        assert path.stat().st_mode & 0o027 == 0
        assert path.stat().st_uid == 0


def test_a_private_folder_above_keeps_others_out(tmp_path):
    """A worker under a different user could not reach what lies below the folder."""
    (tmp_path / "x").mkdir(0o700)
    assert not identity.is_reachable_by_all(tmp_path / "x" / "y")
    assert identity.is_reachable_by_all(Path("/usr/bin/python"))
