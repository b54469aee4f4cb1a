"""Who the student is."""

from __future__ import annotations

import pytest

from grading.errors import UsageError
from grading.quiz.student_id import read_student_id, save_student_id


@pytest.mark.parametrize(
    "id_",
    ["ada", "ada-lovelace", "7", "0123", "1e5", "true", "null", "a" * 39, "dana_uni", "a--b", "ada-", "-ada", "1_000"],
)
def test_what_is_saved_is_read_back(tmp_path, id_):
    """A user name stays text, whatever YAML would take it for."""
    save_student_id(tmp_path, id_)
    assert read_student_id(tmp_path) == id_


def test_case_does_not_matter(tmp_path):
    """Ada and ada are one student, as on GitHub."""
    (tmp_path / "student.yaml").write_text("id: Ada\n")
    assert read_student_id(tmp_path) == "ada"


def test_nobody_without_a_file(tmp_path):
    """No file means that the student has not said who they are."""
    assert read_student_id(tmp_path) is None


@pytest.mark.parametrize("id_", ["", "-", "__", "a b", "../x", "a/b", "a.b", "a" * 40, "ädä", "a\n", "٣"])
def test_what_is_no_user_name_is_refused(tmp_path, id_):
    """A wrong name is refused before anything is written, unless blanks around it are all that is wrong."""
    if id_.strip() != id_ and id_.strip():
        assert (save_student_id(tmp_path, id_), read_student_id(tmp_path)) == (None, id_.strip())
        return
    with pytest.raises(UsageError, match="user name"):
        save_student_id(tmp_path, id_)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["id: [ada]", "name: ada", "id: ../x", "id: 12", "id: ada\nroot: true", "ada"])
def test_a_damaged_file_is_named(tmp_path, text):
    """The message starts with file and line."""
    (tmp_path / "student.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"^student\.yaml:\d+: "):
        read_student_id(tmp_path)
