"""Judge answers in the grader, using the course's plain-text keys or a release's sealed keys."""

from __future__ import annotations

from dataclasses import dataclass

from grading.manifest.model import ChoiceQuestion, Milestone, NumberQuestion
from grading.quiz.answer_file import Answer, Answers
from grading.quiz.decimals import normalize_number
from grading.quiz.sealing import format_canonical_choice, is_right_answer
from grading.quiz.student_questions import choose_student_variant, order_student_options


@dataclass(frozen=True)
class QuestionVerdict:
    """The verdict on one question."""

    question_id: str
    correct: bool
    answered: bool
    read: str
    """The part of the lesson to read again."""
    why: str | None = None
    """A sentence for the student if the answer is not correct."""


def judge_answers(milestone: Milestone, answers: Answers, student_id: str) -> tuple[QuestionVerdict, ...]:
    """Judge every question in the manifest's order; answers of another student are all wrong. Never raise."""
    owner = answers.student.lower() if answers.student else None
    if answers.answers and owner != student_id.lower():
        said = (
            f"These answers belong to {f'the student {owner[:40]}' if owner else 'a student without a name'}, "
            f"and you are {student_id.lower()}. "
        )
        said += f"Answer your own questions with `tito milestone quiz {milestone.id}`."
        return tuple(QuestionVerdict(q.id, False, q.id in answers.answers, q.read, said) for q in milestone.questions)
    return tuple(_judge_question(q, answers.answers.get(q.id), student_id) for q in milestone.questions)


def _judge_question(
    question: NumberQuestion | ChoiceQuestion, answer: Answer | None, student_id: str
) -> QuestionVerdict:
    """Judge the answer to one question."""
    if answer is None:
        return QuestionVerdict(question.id, False, False, question.read, "Not answered yet.")
    if isinstance(question, ChoiceQuestion):
        options = order_student_options(question, student_id)
        chosen, variant = _list_chosen_option_texts(answer, options), 0
        key = format_canonical_choice(chosen) if chosen else None
        said = f"Answer with one or more of the letters {', '.join(options)}."
    else:
        key, variant = normalize_number(answer, question.digits), choose_student_variant(question, student_id)
        said = "Answer with a number, such as 20 or 0.25."
    if key is None:
        return QuestionVerdict(question.id, False, True, question.read, said)
    correct = is_right_answer(question, variant, key)
    return QuestionVerdict(question.id, correct, True, question.read, None if correct else "Not right yet.")


def _list_chosen_option_texts(answer: Answer, options: dict[str, str]) -> list[str] | None:
    """Return the text of each option that the letters refer to ("a", "a, c"), or None if a letter is not an option."""
    letters = answer.replace(",", " ").split() if isinstance(answer, str) else answer
    if not isinstance(letters, list | tuple):
        return None
    named = [letter.strip().lower() for letter in letters]
    return [options[letter] for letter in named] if all(letter in options for letter in named) else None
