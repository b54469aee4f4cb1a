"""A temporary folder is gone afterwards, whatever was done in it."""

from __future__ import annotations

import os

import pytest

from grading.sandbox.folders import create_temporary_folder, delete_folder


def test_folders_nested_thousands_deep_are_removed(tmp_path):
    """Deeper than Python's own removal goes, and deeper than a path may be long."""
    top = tmp_path / "top"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    delete_folder(top)
    assert not top.exists()


def test_folders_that_nobody_may_read_are_removed(tmp_path):
    """Their owner can make them readable again, and does."""
    closed = tmp_path / "top" / "closed"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    closed.chmod(0)
    delete_folder(tmp_path / "top")
    assert not (tmp_path / "top").exists()


def test_nothing_to_remove_is_no_error(tmp_path):
    """It may be gone already."""
    delete_folder(tmp_path / "none")


def test_a_folder_is_there_for_the_block_only():
    """Also when the block ends with an error."""
    with pytest.raises(ZeroDivisionError), create_temporary_folder("tinytorch-test-") as folder:
        (folder / "file").write_text(str(1 / 0))
    assert not folder.exists()
