"""`tito milestone quiz`: ask, check, keep the answers, and ask again only what is not right yet."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.prompt import Prompt
from rich.text import Text

from grading.errors import UsageError
from grading.manifest.load import load
from grading.manifest.model import Milestone
from grading.manifest.problems import did_you_mean
from grading.quiz import identity
from grading.quiz.answers import Answers, load_answers, save_answers
from grading.quiz.judge import QuestionVerdict, judge
from grading.quiz.questions import Asked, for_student
from tito.console import console


def quiz(root: Path, number: int, given: list[str], student: str | None) -> int:
    """Ask or take the answers, keep them, say what is right; 0 when all is, else 1."""
    out, milestone = console(), load(root).milestone(number)
    if not milestone.questions:
        raise UsageError(f"Milestone {number} has no questions yet.")
    who = _who(root, student, out)
    asked = for_student(milestone, who)
    if given:
        _keep(root, number, dict(_parse(answer, asked) for answer in given))
    elif out.is_terminal and out.file.isatty():
        return _conversation(root, milestone, asked, who, out)
    else:
        _print_questions(out, asked, number)
        return 1
    verdicts = judge(milestone, load_answers(root, number), who)
    _show(out, asked, verdicts, number)
    return 0 if all(v.correct for v in verdicts) else 1
