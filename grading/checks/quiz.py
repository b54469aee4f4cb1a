"""Understanding: the capability questions, answered for this student's own parameters."""

from __future__ import annotations

import re

from grading.checks.measured import Context, Measured
from grading.quiz.answers import load_answers
from grading.quiz.judge import judge
from grading.quiz.safe_yaml import BadFile
from grading.result import Failure

_TITLE = "Question {} is answered correctly"
_ASKED = re.compile(_TITLE.format("([a-z0-9]+(?:[_-][a-z0-9]+)*)"))


NO_ANSWER = "no answer"


def was_answered(got: str) -> bool:
    """Whether a failure that says this is about a wrong answer, and not about none."""
    return not got.startswith(f"{NO_ANSWER}:")


def question_in(title: str) -> str | None:
    """The id of the question that a failure of this title is about; None when it is about something else."""
    found = _ASKED.fullmatch(title)
    return found[1] if found else None


def quiz(context: Context) -> Measured:
    """The share of questions answered correctly; an unanswered one is not correct."""
    milestone = context.milestone
    assert milestone is not None
    command = f"tito milestone quiz {milestone.id}"
    count = len(milestone.questions)
    if context.student is None:
        told = Failure(
            title="It is known whose answers these are",
            got="no readable student.yaml, so the questions have no parameters",
            expected="a file student.yaml with your id",
            hint=f"{command} asks for it and then asks the questions.",
        )
        return Measured({"correct": 0.0}, {"correct": (told,)}, how=f"0 of {count} questions")
    try:
        answers = load_answers(context.submission.answers, milestone.id)
    except BadFile as error:
        told = Failure(
            title="The answers file can be read",
            got=str(error),
            expected="question ids with their answers, as the command writes them",
            hint=f"Fix the line, or move the file away and answer again: {command}",
        )
        return Measured({"correct": 0.0}, {"correct": (told,)}, how=f"0 of {count} questions")
    verdicts = judge(milestone, answers, context.student)
    failures = tuple(
        Failure(
            title=_TITLE.format(v.question_id),
            got=f"{'another answer' if v.answered else NO_ANSWER}: {v.why or 'Not right yet.'}",
            expected="the right one, for your own parameters",
            hint=f"Read {v.read}, then: {command}",
        )
        for v in verdicts
        if not v.correct
    )
    right = len(verdicts) - len(failures)
    return Measured({"correct": right / count}, {"correct": failures}, how=f"{right} of {count} questions")
