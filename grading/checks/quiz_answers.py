"""Measure understanding: count correct answers to the capability questions, whose numbers differ for each student."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grading.manifest.model import Milestone
from grading.measurement import CheckContext, Measurement
from grading.quiz.answer_file import load_answers
from grading.quiz.judge import judge_answers
from grading.quiz.safe_yaml import InvalidFileError
from grading.result import Failure

_TITLE = "Question {} is answered correctly"
_ASKED = re.compile(_TITLE.format("([a-z0-9]+(?:[_-][a-z0-9]+)*)"))
OPEN_TITLE = "Every question is answered"
_NO_ANSWER = "no answer"


def extract_question_id(title: str) -> str | None:
    """Extract the question's id from a failure's title. Return None if the failure is not about one question."""
    found = _ASKED.fullmatch(title)
    return found[1] if found else None


def says_wrong_answer(failure_got: str) -> bool:
    """Return whether a failure's text describes a wrong answer rather than a missing one."""
    return not failure_got.startswith(_NO_ANSWER)


def map_marked_questions_to_wrong(milestone: Milestone, failures: Sequence[Failure]) -> dict[str, bool]:
    """Given the quiz's failures, map each question that was answered and marked to whether the answer was wrong."""
    missed: dict[str, bool] = {}
    for failure in failures:
        if (question := extract_question_id(failure.title)) is not None:
            missed[question] = says_wrong_answer(failure.got or "")
        elif failure.title == OPEN_TITLE:
            numbers = {int(n) for n in re.findall(r"\d+", failure.got or "")}
            missed |= {q.id: False for number, q in enumerate(milestone.questions, 1) if number in numbers}
    if failures and not missed:  # the answers were not marked
        return {}
    return {q.id: q.id in missed for q in milestone.questions if missed.get(q.id, True)}


def measure_quiz(context: CheckContext) -> Measurement:
    """Measure the share of questions answered correctly; 0 if the answers are unreadable or another student's."""
    milestone = context.milestone
    assert milestone is not None
    command = f"tito milestone quiz {milestone.id}"
    count = len(milestone.questions)
    if context.student is None:
        told = Failure(
            title="The answers have a known owner",
            got="no readable student.yaml, so the numbers in your questions are unknown",
            expected="a file student.yaml that contains your user name",
            hint=f"Run {command}: it asks for the name and then asks the questions.",
        )
        return Measurement({"correct": 0.0}, {"correct": (told,)}, how=f"0 of {count} questions")
    try:
        answers = load_answers(context.submission.answers, milestone.id)
    except InvalidFileError as error:
        told = Failure(
            title="The answers file can be read",
            got=str(error),
            expected="question ids with their answers, as the command writes them",
            hint=f"Fix the line, or move the file away and answer again: {command}",
        )
        return Measurement({"correct": 0.0}, {"correct": (told,)}, how=f"0 of {count} questions")
    if answers.answers and (owner := answers.student or "nobody") != context.student.lower():
        told = Failure(
            title="The answers are your own",
            got=f"the answers of {owner[:40]}",
            expected=f"answers of {context.student}, whose questions have different numbers",
            hint=f"Is student.yaml correct? If it is, answer your own questions: {command}",
        )
        return Measurement({"correct": 0.0}, {"correct": (told,)}, how=f"0 of {count} questions")
    verdicts = judge_answers(milestone, answers, context.student)
    failures = [
        Failure(
            title=_TITLE.format(v.question_id),
            got=v.why,
            expected="the correct answer for your own numbers",
            hint=f"Read {v.read.rstrip('.')}. Then: {command}",
        )
        for v in verdicts
        if v.answered and not v.correct
    ]
    if numbers := [number for number, verdict in enumerate(verdicts, 1) if not verdict.answered]:
        which = "question" if len(numbers) == 1 else "questions"
        failures.append(
            Failure(
                title=OPEN_TITLE,
                got=f"{_NO_ANSWER} to {which} {', '.join(map(str, numbers))}",
                expected=f"an answer to each of the {count} questions",
                hint=f"Answer them: {command}",
            )
        )
    right = sum(verdict.correct for verdict in verdicts)
    return Measurement({"correct": right / count}, {"correct": tuple(failures)}, how=f"{right} of {count} questions")
