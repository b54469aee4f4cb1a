"""Read and write a student's answers to a milestone's questions, in `answers/milestone-N.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grading.files import write_atomically
from grading.quiz.safe_yaml import InvalidFileError, dump_yaml, read_mapping

FOLDER = Path("answers")
Answer = int | float | bool | str | tuple[str, ...]
"""An answer: a number, or one or more letters of a choice question."""
HEADER = """\
# Answers to the questions of milestone {number}. `tito milestone quiz {number}` asks them and writes this file.
# They belong to one student; those of other students have different numbers and letters.
# Write a number as it is, and a choice as its letter: a, or [a, c] for more than one.
"""


@dataclass(frozen=True)
class Answers:
    """A student's name and their answers, keyed by question id."""

    student: str | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)


def get_answers_path(milestone_number: int) -> Path:
    """Return the path of a milestone's answers file, relative to the repository."""
    return FOLDER / f"milestone-{milestone_number}.yaml"


def load_answers(root: Path, milestone_number: int) -> Answers:
    """Load a milestone's answers; without a file, they are empty. Raise InvalidFileError if the file is damaged."""
    found = read_mapping(root, get_answers_path(milestone_number))
    if found is None:
        return Answers()
    for key in found.data:
        if key not in ("student", "answers"):
            raise found.build_error_at((key,), f"unknown key `{key[:40]}`. Only `student:` and `answers:` are allowed.")
    student = found.data.get("student")
    if not isinstance(student, str):
        raise found.build_error_at(
            ("student",), "add `student: your-user-name`, in quotes if the name looks like a number."
        )
    given = found.data.get("answers", {})
    if not isinstance(given, dict):
        raise found.build_error_at(
            ("answers",), "write the answers below `answers:`, one `question: answer` on each line."
        )
    answers: dict[str, Answer] = {}
    for question, answer in given.items():
        if isinstance(answer, list) and all(isinstance(letter, str) for letter in answer):
            answers[question] = tuple(answer)
        elif isinstance(answer, int | float | str):
            answers[question] = answer
        else:
            reason = "an answer is a number, a letter, or a list of letters such as [a, c]."
            raise found.build_error_at(("answers", question), f"`{question[:40]}`: {reason}")
    return Answers(student.lower(), answers)


def save_answers(root: Path, milestone_number: int, answers: Answers) -> Path | None:
    """Replace a milestone's answers. Return None or, if the old file was damaged, its new path below `root`."""
    path = get_answers_path(milestone_number)
    (root / FOLDER).mkdir(exist_ok=True)
    aside = _rename_damaged_file(root, path) if _is_answers_file_damaged(root, milestone_number) else None
    data = {"student": answers.student, "answers": dict(answers.answers)}
    text = HEADER.format(number=milestone_number) + dump_yaml(data)
    write_atomically(root / path, text.encode())
    return aside


def _is_answers_file_damaged(root: Path, milestone_number: int) -> bool:
    """Return whether a milestone's answers file cannot be loaded."""
    try:
        load_answers(root, milestone_number)
    except InvalidFileError:
        return True
    return False


def _rename_damaged_file(root: Path, path: Path) -> Path:
    """Rename a file to the first free `….damaged-K.yaml` in its folder. Return its new path below `root`."""
    count = 1
    while (aside := path.with_suffix(f".damaged-{count}.yaml")) and (root / aside).exists():
        count += 1
    return (root / path).rename(root / aside).relative_to(root)
