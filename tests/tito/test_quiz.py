"""`tito milestone quiz`: who is asked, what is kept, and what is asked again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grading.errors import Interrupted
from grading.manifest.loader import load_manifest
from grading.quiz.answer_file import Answers, load_answers
from grading.quiz.judge import judge_answers
from grading.quiz.student_id import read_student_id
from grading.quiz.student_questions import build_student_questions
from tito.quiz import ask_questions, join_paragraphs


def find_right_answers(root: Path, student: str) -> dict[str, object]:
    """Find every correct answer of a student by trying, since the course's keys are in the manifest."""
    milestone, found = load_manifest(root).milestone(1), {}
    for question, asked in zip(milestone.questions, build_student_questions(milestone, student), strict=True):
        if question.kind == "choice":
            found[question.id] = ",".join(k for k, text in asked.options.items() if text in question.right)
        else:
            from grading.quiz.student_questions import ENVIRONMENT, choose_parameters, choose_student_variant

            parameters = choose_parameters(question, choose_student_variant(question, student))
            found[question.id] = str(ENVIRONMENT.compile_expression(question.answer)(**parameters))
    return found


def test_a_new_student_says_who_they_are(repo: Path, tito) -> None:
    """Without a terminal the id comes from --student, is kept, and cannot be changed by accident."""
    unknown = tito("milestone", "quiz", "1")
    assert unknown.code == 2
    assert "--student" in unknown.err
    assert tito("milestone", "quiz", "1", "--student", "not a name").code == 2
    assert read_student_id(repo) is None
    shown = tito("milestone", "quiz", "1", "--student", "Ada")
    assert shown.code == 1
    assert read_student_id(repo) == "ada"
    other = tito("milestone", "quiz", "1", "--student", "bob")
    assert other.code == 2
    assert "you are ada" in other.err


def test_without_answers_the_questions_are_printed(repo: Path, tito) -> None:
    """Each of this student's questions is shown with its number and how to answer, but no key; nothing is kept."""
    answer = tito("milestone", "quiz", "1", "--student", "ada")
    asked = build_student_questions(load_manifest(repo).milestone(1), "ada")
    assert all(f"Question {place} of {len(asked)}\n" in answer.out for place in range(1, len(asked) + 1))
    assert not any(q.question_id in answer.out for q in asked)
    assert "--answer" in answer.out
    assert not (repo / "answers").exists()


def test_a_printed_question_has_no_ragged_lines() -> None:
    """A paragraph and a list entry are one line each; code keeps its lines."""
    text = (
        "One line\n**of** text\n`here`.\n\n- an entry\n  goes on\n\n    code\n    more\n\n```\na\nb\n```\nThe\nend.\n"
    )
    joined = "One line **of** text `here`.\n\n- an entry goes on\n\n    code\n    more\n\n```\na\nb\n```\nThe end."
    assert join_paragraphs(text) == joined


def test_answers_are_kept_and_judged_one_by_one(repo: Path, tito) -> None:
    """Each answer is kept with the earlier ones; when all are correct the exit code is 0."""
    right = find_right_answers(repo, "ada")
    first, *others = right
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", f"{first}={right[first]}")
    assert answer.code == 1
    assert "Question 1: Right." in answer.out
    assert "tito milestone quiz 1" in answer.out
    assert f"1 of {len(right)} correct" in answer.out
    by_number = (f"--answer={place}={right[name]}" for place, name in enumerate(others, 2))
    answer = tito("milestone", "quiz", "1", *by_number)
    assert answer.code == 0
    assert answer.out.rstrip().endswith("tito module start 01_setup")  # nothing else is done here yet
    assert f"{len(right)} of {len(right)} correct" in answer.out
    assert set(load_answers(repo, 1).answers) == set(right)


def test_a_wrong_answer_says_where_to_read(repo: Path, tito) -> None:
    """The relevant place in the lesson is shown with each wrong answer."""
    question = load_manifest(repo).milestone(1).questions[0]
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", f"{question.id}=-1")
    assert answer.code == 1
    assert " ".join(question.read.split()) in " ".join(answer.out.split())


@pytest.mark.parametrize("said", ["nonsense=1", "no equals sign", "=", "trainin_memory=3", "0=3", "8=3"])
def test_an_answer_to_no_question_is_refused(repo: Path, tito, said: str) -> None:
    """An unknown question gets exit code 2 and help, and nothing is kept."""
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", said)
    assert answer.code == 2
    assert "does not answer any question" in answer.err
    assert not (repo / "answers").exists()


@pytest.mark.parametrize("said", ["1=twenty", "1=2.1 KB", "1=", "5=z"])
def test_an_answer_that_cannot_be_meant_is_refused(repo: Path, tito, said: str) -> None:
    """An answer that is neither a number nor a letter is refused immediately, and nothing is kept."""
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", said)
    assert answer.code == 2
    assert "nswer with" in answer.err
    assert not (repo / "answers").exists()


def test_another_students_answers_are_left_alone(repo: Path, tito) -> None:
    """A different student's answers are neither used nor replaced."""
    file = repo / "answers" / "milestone-1.yaml"
    file.parent.mkdir()
    file.write_text("student: bob\nanswers:\n  training_memory: 3\n")
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", "training_memory=4")
    assert answer.code == 2
    assert "bob" in answer.err
    assert file.read_text() == "student: bob\nanswers:\n  training_memory: 3\n"


def test_damaged_answers_are_set_aside(repo: Path, tito) -> None:
    """An unreadable file is reported with its line, and kept under a different name."""
    file = repo / "answers" / "milestone-1.yaml"
    file.parent.mkdir()
    file.write_text("answers: [")
    answer = tito("milestone", "quiz", "1", "--student", "ada", "--answer", "training_memory=4")
    assert answer.code == 1
    assert "answers/milestone-1.yaml:" in answer.out
    assert (file.parent / "milestone-1.damaged-1.yaml").read_text() == "answers: ["
    assert load_answers(repo, 1).answers == {"training_memory": 4}


def run_conversation(repo: Path, kept: Answers, replies: list[str]) -> tuple[Answers, str]:
    """Return what is kept and what is shown when these are the replies."""
    milestone, shown = load_manifest(repo).milestone(1), io.StringIO()
    out = Console(file=shown, width=200)

    def ask(prompt: str) -> str:
        """Print and return the next reply, or raise KeyboardInterrupt for Ctrl-C."""
        reply = replies.pop(0)
        if reply == "Ctrl-C":
            raise KeyboardInterrupt
        out.print(f"{prompt}: {reply}")
        return reply

    return ask_questions(repo, milestone, build_student_questions(milestone, "ada"), kept, out, ask), shown.getvalue()


def test_a_wrong_answer_is_asked_again_at_once(repo: Path) -> None:
    """The question stays, with where to read; unclear answers are asked for again, and nothing is skipped."""
    right = list(find_right_answers(repo, "ada").values())
    replies = ["twenty", "-1", f"{right[0]}", "", *right[2:]]
    kept, shown = run_conversation(repo, Answers("ada"), replies)
    assert replies == []
    assert len(kept.answers) == len(right) - 1
    assert shown.index("Answer with one number") < shown.index("Not right yet. Read modules/") < shown.index("Right.")
    assert shown.count("Question 1 of 7") == 1
    assert not any(question.id in shown for question in load_manifest(repo).milestone(1).questions)
    assert load_answers(repo, 1) == kept
    replies = [right[1]]
    kept, shown = run_conversation(repo, kept, replies)
    assert "Question 1 of 1" in shown
    assert all(v.correct for v in judge_answers(load_manifest(repo).milestone(1), kept, "ada"))


def test_an_interrupted_conversation_says_what_it_keeps(repo: Path) -> None:
    """Every answer so far is in the file, and the message states this and how to continue."""
    right = list(find_right_answers(repo, "ada").values())
    with pytest.raises(Interrupted, match=r"1 answer saved in answers/milestone-1.yaml.*tito milestone quiz 1"):
        run_conversation(repo, Answers("ada"), [right[0], "Ctrl-C"])
    assert len(load_answers(repo, 1).answers) == 1
