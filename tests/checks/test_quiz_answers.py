"""The questions are judged, and the failures say no more than needed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from grading.checks.quiz_answers import OPEN_TITLE, map_marked_questions_to_wrong, measure_quiz
from grading.manifest.loader import load_manifest
from grading.measurement import Measurement
from grading.quiz.answer_file import Answers, save_answers
from grading.result import Failure


@pytest.fixture
def check_quiz(root: Path, tmp_path: Path):
    """Provide `check_quiz(answers, owner)`, which judges milestone 1's questions for the student ada."""

    def run(answers: dict[str, object], owner: str = "ada", *, number: int = 1) -> Measurement:
        """Save the answers, if there are any, and measure the quiz."""
        if answers:
            save_answers(tmp_path, number, Answers(owner, answers))
        milestone, submission = load_manifest(root).milestone(number), SimpleNamespace(answers=tmp_path)
        return measure_quiz(SimpleNamespace(milestone=milestone, submission=submission, student="ada"))

    return run


def test_an_unopened_quiz_is_one_thing_to_do(check_quiz) -> None:
    """It is one failure, not one for each question."""
    measured = check_quiz({})
    (failure,) = measured.failures["correct"]
    assert failure.title == OPEN_TITLE
    assert failure.got == "no answer to questions 1, 2, 3, 4, 5, 6, 7"
    assert failure.hint == "Answer them: tito milestone quiz 1"
    assert measured.figures == {"correct": 0}


def test_a_wrong_answer_is_told_beside_the_open_questions(check_quiz, root: Path) -> None:
    """Each wrong answer has its place in a lesson, and the open questions share a failure."""
    ids = [question.id for question in load_manifest(root).milestone(1).questions]
    wrong, other, open_ = check_quiz(dict.fromkeys(ids[:2], -1)).failures["correct"]
    assert (wrong.title, other.title) == tuple(f"Question {name} is answered correctly" for name in ids[:2])
    assert open_.got == "no answer to questions 3, 4, 5, 6, 7"
    (open_,) = check_quiz(dict.fromkeys(ids[:-1], -1)).failures["correct"][-1:]
    assert open_.got == "no answer to question 7"


def test_somebody_elses_answers_are_one_thing_to_do(check_quiz, root: Path) -> None:
    """The owner of the answers is named once."""
    ids = [question.id for question in load_manifest(root).milestone(1).questions]
    (failure,) = check_quiz(dict.fromkeys(ids, 1), "bob").failures["correct"]
    assert "bob" in failure.got
    assert "student.yaml" in failure.hint


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_place_to_read_ends_as_a_sentence(check_quiz, root: Path, number: int) -> None:
    """No full stop comes before a comma, and no full stop is doubled."""
    ids = [question.id for question in load_manifest(root).milestone(number).questions]
    failures = check_quiz(dict.fromkeys(ids, -1), number=number).failures["correct"]
    assert len(failures) == len(ids)
    for failure in failures:
        assert ".," not in failure.hint
        assert ".." not in failure.hint
        assert failure.hint.endswith(f". Then: tito milestone quiz {number}")


def test_only_answers_that_were_looked_at_count_as_judged(root: Path) -> None:
    """Next to a wrong answer and an open question the others were right. In an unopened quiz none was judged."""
    milestone = load_manifest(root).milestone(1)
    first, _, *others = (question.id for question in milestone.questions)
    wrong = Failure(title=f"Question {first} is answered correctly", got="Not right yet.")
    some_open, all_open = (
        Failure(title=OPEN_TITLE, got=f"no answer to questions {n}") for n in ("2", "1, 2, 3, 4, 5, 6, 7")
    )
    assert map_marked_questions_to_wrong(milestone, [wrong, some_open]) == {first: True} | dict.fromkeys(others, False)
    assert map_marked_questions_to_wrong(milestone, [all_open]) == {}
    assert map_marked_questions_to_wrong(milestone, [Failure(title="The answers have a known owner")]) == {}
    assert set(map_marked_questions_to_wrong(milestone, []).values()) == {False}
