"""`tito milestone quiz`: who is asked, what is kept, what is asked again."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from grading.manifest.load import load
from grading.quiz.answers import Answers, load_answers
from grading.quiz.identity import student_id
from grading.quiz.judge import judge
from grading.quiz.questions import Asked, for_student
from tito.quiz import answer_from, converse

CHOICE = Asked("why", "choice", "Why?", "there", {"a": "A", "b": "B", "c": "C"})
NUMBER = Asked("size", "number", "How many?", "there")


@pytest.mark.parametrize(
    ("typed", "question", "kept"),
    [
        ("20", NUMBER, 20),
        (" 0.25 ", NUMBER, 0.25),
        ("twenty", NUMBER, "twenty"),
        ("nan", NUMBER, "nan"),
        ("1e999", NUMBER, "1e999"),
        ("b", CHOICE, "b"),
        ("B", CHOICE, "b"),
        ("a,c", CHOICE, ("a", "c")),
        ("a, c", CHOICE, ("a", "c")),
        ("ac", CHOICE, ("a", "c")),
    ],
)
def test_what_is_typed_is_kept_as_it_is_meant(typed: str, question: Asked, kept: object) -> None:
    """Numbers are numbers, letters are letters, and what is neither is kept for the judge to say so."""
    assert answer_from(typed, question) == kept


def right_answers(root: Path, student: str) -> dict[str, object]:
    """Every right answer of a student, found by trying: the course's keys are in the manifest."""
    milestone, found = load(root).milestone(1), {}
    for question, asked in zip(milestone.questions, for_student(milestone, student), strict=True):
        if question.kind == "choice":
            found[question.id] = ",".join(k for k, text in asked.options.items() if text in question.right)
        else:
            from grading.quiz.questions import ENVIRONMENT, variant_of, variants

            parameters = variants(question)[variant_of(question, student)]
            found[question.id] = str(ENVIRONMENT.compile_expression(question.answer)(**parameters))
    return found


def test_a_new_student_says_who_they_are(repo: Path, tito) -> None:
    """Without a terminal the id comes from --student, is kept, and cannot be changed in passing."""
    unknown = tito("milestone", "quiz", "1")
    assert unknown.code == 2
    assert "--student" in unknown.err
    assert tito("milestone", "quiz", "1", "--student", "not a name").code == 2
    assert student_id(repo) is None
    shown = tito("milestone", "quiz", "1", "--student", "Ada")
    assert shown.code == 1
    assert student_id(repo) == "ada"
    other = tito("milestone", "quiz", "1", "--student", "bob")
    assert other.code == 2
    assert "you are ada" in other.err


def test_without_answers_the_questions_are_printed(repo: Path, tito) -> None:
    """Every question of this student with its options, and how to answer; nothing is kept."""
    answer = tito("milestone", "quiz", "1", "--student", "ada")
    milestone = load(repo).milestone(1)
    assert all(q.question_id in answer.out for q in for_student(milestone, "ada"))
    assert "--answer" in answer.out
    assert not (repo / "answers").exists()


def test_answers_are_kept_and_judged_one_by_one(repo: Path, tito) -> None:
    """Each answer is kept beside the earlier ones; when all are right the exit code is 0."""
    right = right_answers(repo, "ada")
    first, *others = right
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", f"{first}={right[first]}")
    assert answer.code == 1
    assert f"{first}: right" in answer.out
    assert f"1 of {len(right)} right" in answer.out
    answer = tito("milestone", "quiz", "1", *(f"--answer={name}={right[name]}" for name in others))
    assert answer.code == 0
    assert f"{len(right)} of {len(right)} right" in answer.out
    assert set(load_answers(repo, 1).answers) == set(right)


def test_a_wrong_answer_says_where_to_read(repo: Path, tito) -> None:
    """The lesson's place is named beside what is not right yet."""
    question = load(repo).milestone(1).questions[0]
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", f"{question.id}=-1")
    assert answer.code == 1
    assert " ".join(question.read.split()) in " ".join(answer.out.split())


@pytest.mark.parametrize("said", ["nonsense=1", "no equals sign", "=", "trainin_memory=3"])
def test_an_answer_to_no_question_is_refused(repo: Path, tito, said: str) -> None:
    """An unknown question gets exit code 2 and help, and nothing is kept."""
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", said)
    assert answer.code == 2
    assert "answers no question" in answer.err
    assert not (repo / "answers").exists()


def test_another_students_answers_are_left_alone(repo: Path, tito) -> None:
    """Answers of somebody else are neither used nor replaced."""
    file = repo / "answers" / "milestone-1.yaml"
    file.parent.mkdir()
    file.write_text("student: bob\nanswers:\n  training_memory: 3\n")
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", "training_memory=4")
    assert answer.code == 2
    assert "bob" in answer.err
    assert file.read_text() == "student: bob\nanswers:\n  training_memory: 3\n"


def test_damaged_answers_are_set_aside(repo: Path, tito) -> None:
    """A file that cannot be read is told with its line, and kept under another name."""
    file = repo / "answers" / "milestone-1.yaml"
    file.parent.mkdir()
    file.write_text("answers: [")
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", "training_memory=4")
    assert answer.code == 1
    assert "answers/milestone-1.yaml:" in answer.out
    assert (file.parent / "milestone-1.damaged-1.yaml").read_text() == "answers: ["
    assert load_answers(repo, 1).answers == {"training_memory": 4}


def test_only_what_is_not_right_is_asked_again(repo: Path) -> None:
    """In the second round nobody is asked what was right in the first, and skipped questions come back."""
    milestone, right = load(repo).milestone(1), right_answers(repo, "ada")
    asked = for_student(milestone, "ada")
    replies = ["-1", "", *(str(right[q.question_id]) for q in asked[2:])]
    replies += [str(right[q.question_id]) for q in asked[:2]]
    rounds: list[bool] = []

    def again() -> bool:
        rounds.append(True)
        return True

    with Path("/dev/null").open("w") as nowhere:
        out = Console(file=nowhere)
        kept = converse(repo, milestone, asked, Answers("ada"), out, lambda _: replies.pop(0), again)
    assert replies == []
    assert rounds == [True]
    assert all(v.correct for v in judge(milestone, kept, "ada"))
    assert load_answers(repo, 1) == kept
