"""Students are asked who they are when they begin, not after a minute of grading."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.errors import GraderError
from grading.quiz.student_id import read_student_id
from tito import attempt, identity


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Set what a person at a terminal replies, in order."""
    given: list[str] = []
    monkeypatch.setattr(identity, "can_ask", lambda _: True)
    monkeypatch.setattr(identity.Prompt, "ask", lambda *_, **__: given.pop(0))
    return given


def test_the_first_module_asks_who_you_are(repo: Path, tito, replies: list[str]) -> None:
    """An invalid name is asked for again, and a known student is not asked."""
    replies += ["not a name", "Ada"]
    assert tito("module", "start", "01").code == 0
    assert read_student_id(repo) == "ada"
    assert replies == []
    assert tito("module", "start", "01").code == 0


def test_it_can_be_put_off(repo: Path, tito, replies: list[str]) -> None:
    """With an empty answer the module still starts."""
    replies.append("")
    assert tito("module", "start", "01").code == 0
    assert read_student_id(repo) is None


def test_without_a_terminal_the_file_is_named(repo: Path, tito) -> None:
    """The message contains the line to write into the file; a damaged file is reported with its line."""
    answer = tito("module", "start", "01")
    assert answer.code == 0
    assert "Write one line to student.yaml: id: your-user-name" in answer.out
    (repo / "student.yaml").write_text("id: [")
    answer = tito("module", "start", "01")
    assert answer.code == 0
    assert "student.yaml:" in answer.out


def test_a_milestone_asks_before_it_measures(repo: Path, tito, replies: list[str], monkeypatch) -> None:
    """The questions are part of the verdict, so a minute of grading comes afterwards."""
    known: list[str | None] = []

    def grade(*_: object, **__: object) -> None:
        """Note which student is known, and stop."""
        known.append(read_student_id(repo))
        raise GraderError("enough")

    monkeypatch.setattr(attempt, "grade_milestone", grade)
    replies.append("ada")
    assert tito("milestone", "test", "1").code == 3
    assert known == ["ada"]
