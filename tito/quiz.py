"""`tito milestone quiz`: ask, check, keep the answers, and ask again only what is not right yet."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.prompt import Confirm, Prompt
from rich.text import Text

from grading.errors import UsageError
from grading.manifest.load import load
from grading.manifest.model import Milestone
from grading.manifest.problems import did_you_mean
from grading.quiz.answers import Answer, Answers, answers_file, load_answers, save_answers
from grading.quiz.identity import FILE, save_student_id, student_id, valid_id
from grading.quiz.judge import QuestionVerdict, judge
from grading.quiz.questions import Asked, for_student
from grading.quiz.safe_yaml import BadFile
from grading.render.text import one_line
from tito.console import console, item


def quiz(root: Path, number: int, given: list[str], student: str | None) -> int:
    """Ask or take the answers, keep them, say what is right. 0 when all is, else 1."""
    out, milestone = console(), load(root).milestone(number)
    if not milestone.questions:
        raise UsageError(f"Milestone {number} has no questions.")
    talking = out.is_terminal and sys.stdin.isatty()
    who = _who(root, student, out if talking else None)
    asked, kept = for_student(milestone, who), _kept(root, number, who, out)
    if given:
        new = dict(parse(answer, asked) for answer in given)
        kept = _keep(root, number, replace(kept, answers={**kept.answers, **new}), out)
    elif talking:
        kept = converse(root, milestone, asked, kept, out)
    verdicts = judge(milestone, kept, who)
    if not given and not talking:
        _print_questions(out, asked, verdicts, number)
    elif not talking:
        for verdict in verdicts:
            out.print(_told(verdict))
    right = sum(v.correct for v in verdicts)
    where = f" Your answers are in {answers_file(number).as_posix()}." if kept.answers else ""
    out.print(Text(f"\n{right} of {len(verdicts)} right.{where}", style="bold"))
    return 0 if right == len(verdicts) else 1


def parse(said: str, asked: tuple[Asked, ...]) -> tuple[str, Answer]:
    """What `--answer` says: bias=9 → ("bias", 9), why=a,c → ("why", ("a", "c")). UsageError when no question fits."""
    name, equals, value = said.partition("=")
    question = next((q for q in asked if q.question_id == name.strip()), None)
    if not equals or question is None:
        hint = did_you_mean(name.strip(), [q.question_id for q in asked])
        raise UsageError(f"{said!r} answers no question. Write --answer question=value. {hint}")
    return question.question_id, answer_from(value, question)


def answer_from(text: str, question: Asked) -> Answer:
    """What was typed, as it is kept: a number, a letter, or several letters. The judge says if it is none of these."""
    text = text.strip()
    if question.kind == "choice":
        letters = tuple(text.lower().replace(",", " ").split()) if "," in text or " " in text else tuple(text.lower())
        return letters[0] if len(letters) == 1 else letters
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


def converse(
    root: Path,
    milestone: Milestone,
    asked: tuple[Asked, ...],
    kept: Answers,
    out: Console,
    ask: Callable[[str], str] | None = None,
    again: Callable[[], bool] | None = None,
) -> Answers:
    """Ask what is not right yet, round by round, keeping each answer at once. Returns all answers."""
    ask = ask or (lambda prompt: Prompt.ask(Text(prompt), console=out, default="", show_default=False))
    again = again or (lambda: Confirm.ask("Try those once more?", console=out, default=True))
    while True:
        verdicts = {v.question_id: v for v in judge(milestone, kept, kept.student or "")}
        pending = [q for q in asked if not verdicts[q.question_id].correct]
        for place, question in enumerate(pending, 1):
            out.print(Text(f"\nQuestion {place} of {len(pending)}", style="bold"))
            _print_question(out, question)
            form = "a letter, or several" if question.kind == "choice" else "a number"
            said = ask(f"Your answer ({form}; empty: skip)")
            if not said.strip():
                continue
            answers = {**kept.answers, question.question_id: answer_from(said, question)}
            kept = _keep(root, milestone.id, replace(kept, answers=answers), out)
            mine = {v.question_id: v for v in judge(milestone, kept, kept.student or "")}
            out.print(_told(mine[question.question_id]))
        if all(v.correct for v in judge(milestone, kept, kept.student or "")) or not again():
            return kept


def _who(root: Path, student: str | None, out: Console | None) -> str:
    """The student's id: known, given, or asked for (when there is somebody to ask)."""
    known = student_id(root)
    if known is not None:
        if student is not None and valid_id(student) != known:
            raise UsageError(f"{FILE.as_posix()} says you are {known}. To change it, edit that file.")
        return known
    if student is None and out is None:
        raise UsageError("Who are you? The numbers in the questions follow from it: add --student your-user-name")
    while student is None:
        assert out is not None
        out.print("The numbers in your questions follow from who you are.")
        said = Prompt.ask("Your GitHub user name", console=out)
        try:
            student = valid_id(said)
        except UsageError as error:
            out.print(Text(str(error), style="yellow"))
    save_student_id(root, student)
    return valid_id(student)


def _kept(root: Path, number: int, who: str, out: Console) -> Answers:
    """The answers so far. Another student's are left alone; a damaged file is set aside when the first is saved."""
    try:
        kept = load_answers(root, number)
    except BadFile as error:
        out.print(Text(f"{one_line(str(error), 600)} It is set aside as soon as you answer.", style="yellow"))
        return Answers(who)
    if kept.answers and kept.student != who:
        path = answers_file(number).as_posix()
        raise UsageError(f"{path} holds the answers of {kept.student}, and you are {who}. Move that file away first.")
    return Answers(who, kept.answers)


def _keep(root: Path, number: int, answers: Answers, out: Console) -> Answers:
    aside = save_answers(root, number, answers)
    if aside is not None:
        out.print(Text(f"The damaged file is now {aside.as_posix()}.", style="yellow"))
    return answers


def _print_questions(
    out: Console, asked: tuple[Asked, ...], verdicts: tuple[QuestionVerdict, ...], number: int
) -> None:
    for question, verdict in zip(asked, verdicts, strict=True):
        out.print(Text(f"\n{question.question_id}", style="bold"))
        _print_question(out, question)
        out.print(_told(verdict))
    out.print("\nAnswer in a terminal, or like this, with a number, a letter, or letters such as a,c for VALUE:")
    out.print(
        Text(f"  tito milestone quiz {number} --answer {asked[0].question_id}=VALUE", style="bold"), soft_wrap=True
    )


def _print_question(out: Console, question: Asked) -> None:
    out.print(Markdown(question.prompt) if out.is_terminal else Text(question.prompt))
    for letter, text in question.options.items():
        out.print(item(f"{letter})", text))


def _told(verdict: QuestionVerdict) -> Text:
    if verdict.correct:
        return Text(f"{verdict.question_id}: right", style="green")
    told = Text(f"{verdict.question_id}: {one_line(verdict.why or 'Not right yet.', 400)}", style="yellow")
    return told.append(f" Read on in {verdict.read}") if verdict.answered else told
