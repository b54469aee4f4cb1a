"""The course's own answers to its questions, so that its own solution can unlock its own milestones."""

from __future__ import annotations

from pathlib import Path

from grading.manifest.loader import load_manifest
from grading.manifest.model import ChoiceQuestion, Milestone
from grading.quiz.answer_file import Answer, Answers, get_answers_path, save_answers
from grading.quiz.sealing import compute_canonical_answer
from grading.quiz.student_id import save_student_id
from grading.quiz.student_questions import choose_student_variant, order_student_options
from grading.submission import OWN

STUDENT = "course"


def write_correct_answers(root: Path) -> tuple[Path, ...]:
    """Write the course's own student.yaml and correct answers to all questions; return the answers' relative paths."""
    (root / OWN).mkdir(exist_ok=True)
    save_student_id(root / OWN, STUDENT)
    asking = [milestone for milestone in load_manifest(root).milestones if milestone.questions]
    for milestone in asking:
        save_answers(root / OWN, milestone.id, build_right_answers(milestone, STUDENT))
    return tuple(OWN / get_answers_path(milestone.id) for milestone in asking)


def build_right_answers(milestone: Milestone, student: str) -> Answers:
    """Build a student's correct answers from the plain-text keys. Raise ValueError if the keys are sealed."""
    answers: dict[str, Answer] = {}
    for question in milestone.questions:
        if isinstance(question, ChoiceQuestion):
            if not question.right:
                raise ValueError(f"question {question.id} has no plain-text answer")
            letters = tuple(a for a, text in order_student_options(question, student).items() if text in question.right)
            answers[question.id] = letters if len(letters) > 1 else letters[0]
        else:
            key = compute_canonical_answer(question, choose_student_variant(question, student))
            answers[question.id] = float(key) if question.digits else int(key)
    return Answers(student, answers)
