"""Only the files the manifest names are copied, and only if they are plain text files in their own places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from grading.submission import MAX_BYTES, Submission, copy_submission

CODE = "modules/02_tensor/tinytorch/tensor.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree with one file that counts and many that do not."""
    tree = tmp_path / "tree"
    file = tree / CODE
    file.parent.mkdir(parents=True)
    file.write_text("x = 1\n")
    (tree / "modules/02_tensor/test_tensor.py").write_text("def test(): pass\n")
    (tree / "milestones.yaml").write_text("thresholds: none\n")
    (tree / "conftest.py").write_text("raise SystemExit(0)\n")
    return tree


@pytest.fixture
def taken(root: Path, tree: Path, tmp_path: Path):
    """Return a function that copies milestone 1's submission from the tree."""

    def take_it() -> Submission:
        """Copy the submission into a new folder."""
        manifest = load_manifest(root)
        milestone = manifest.milestone(1)
        into = tmp_path / "copy"
        into.mkdir()
        return copy_submission(tree, manifest, manifest.list_modules_up_to(milestone), milestone, into)

    return take_it


def list_copied_files(submission: Submission) -> list[str]:
    """List the paths of all files in a submission's folder, sorted."""
    return sorted(p.relative_to(submission.folder).as_posix() for p in submission.folder.rglob("*") if p.is_file())


def test_tests_manifest_and_conftest_are_left_behind(taken):
    """What comes from the course is never read from a submission."""
    assert list_copied_files(taken()) == [CODE]


def test_missing_files_are_named(taken):
    """The rest of the milestone's files was not handed in."""
    assert "modules/04_layers/recipe.py" in taken().missing


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f.unlink(), f.symlink_to("/etc/passwd")), "link"),
        (lambda f: f.write_bytes(b"x = '\xff'\n"), "UTF-8"),
        (lambda f: f.write_bytes(b"x = 1\0\n"), "null byte"),
        (lambda f: f.write_text("#" * (MAX_BYTES + 1)), "larger than"),
        (lambda f: (f.unlink(), f.mkdir()), "regular file"),
        (lambda f: (f.unlink(), os.mkfifo(f)), "regular file"),
    ],
    ids=["link", "not utf-8", "null byte", "huge", "folder", "pipe"],
)
def test_what_is_no_plain_text_file_is_refused_with_a_reason(taken, tree, spoil, words):
    """It is not copied, and the note says why."""
    spoil(tree / CODE)
    submission = taken()
    assert list_copied_files(submission) == []
    (note,) = [n for n in submission.record.refused if n.path == CODE]
    assert words in note.message


def test_a_linked_folder_is_refused(taken, tree, tmp_path):
    """A link anywhere on the way to a file is a way out of the tree."""
    elsewhere = tmp_path / "elsewhere"
    (tree / "modules/02_tensor").rename(elsewhere)
    (tree / "modules/02_tensor").symlink_to(elsewhere)
    submission = taken()
    assert list_copied_files(submission) == []
    assert any("link" in n.message for n in submission.record.refused)


def test_a_submodule_is_refused(taken, tree):
    """A repository within the repository is somebody else's history."""
    (tree / "modules/02_tensor/.git").write_text("gitdir: ../../evil\n")
    submission = taken()
    assert list_copied_files(submission) == []
    assert any("separate git repository" in n.message for n in submission.record.refused)


def test_files_beside_the_students_are_noted_not_used(taken, tree):
    """A shadow numpy.py or an __init__.py changes nothing, and the student gets a message."""
    for name in ("numpy.py", "__init__.py", "Tensor.py"):
        (tree / CODE).with_name(name).write_text("raise SystemExit\n")
    submission = taken()
    assert list_copied_files(submission) == [CODE]
    assert [Path(n.path).name for n in submission.record.refused] == ["__init__.py", "numpy.py", "Tensor.py"]


def test_thousands_of_files_are_survived(taken, tree):
    """Notes are capped."""
    for n in range(3000):
        (tree / CODE).with_name(f"extra{n}.py").write_text("")
    assert len(taken().record.refused) == 20


def test_answers_are_kept_where_no_worker_sees_them(taken, tree):
    """They are copied into a separate folder next to the code, and count in the digest."""
    (tree / "student.yaml").write_text("id: ada\n")
    (tree / "answers").mkdir()
    (tree / "answers/milestone-1.yaml").write_text("student: ada\n")
    submission = taken()
    assert list_copied_files(submission) == [CODE]
    assert (submission.answers / "answers/milestone-1.yaml").read_text() == "student: ada\n"
    assert not submission.answers.is_relative_to(submission.folder)
    assert [f.path for f in submission.record.files] == [CODE, "student.yaml", "answers/milestone-1.yaml"]


def test_the_digest_follows_the_files(taken, tree, tmp_path):
    """The same files give the same digest, a changed one another."""
    first = taken().record.digest
    (tree / CODE).write_text("x = 2\n")
    (tmp_path / "copy").rename(tmp_path / "old")
    assert taken().record.digest != first


def test_no_folder_is_wrong_usage(root, tmp_path):
    """A sentence, not a traceback."""
    manifest = load_manifest(root)
    with pytest.raises(UsageError, match="not a folder"):
        copy_submission(tmp_path / "none", manifest, manifest.modules[:1], None, tmp_path)
