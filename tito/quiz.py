"""`tito milestone quiz`: ask, check, keep the answers, and ask again only what is not right yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.text import Text

from grading import journey, progress
from grading.errors import Interrupted, UsageError
from grading.grade import built_milestone
from grading.manifest.load import load
from grading.manifest.model import Milestone
from grading.quiz.answers import Answer, Answers, answers_file, load_answers, save_answers
from grading.quiz.identity import student_id
from grading.quiz.judge import QuestionVerdict, judge
from grading.quiz.questions import Asked, for_student
from grading.quiz.safe_yaml import InvalidFileError
from grading.quiz.typed import UnclearAnswerError, read_answer
from grading.render.text import one_line, write_count
from tito.console import console, item
from tito.identity import can_ask, find_student
from tito.outline import outline


def quiz(root: Path, number: int, given: list[str], student: str | None) -> int:
    """Ask or take the answers, keep them, say what is right and what comes next. 0 when all is right, else 1."""
    out, milestone = console(), load(root).milestone(number)
    if not milestone.questions:
        raise UsageError(f"Milestone {number} has no questions.")
    talking, who = can_ask(out), find_student(root, student, out)
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
        for place, verdict in enumerate(verdicts, 1):
            out.print(Text(f"Question {place}: ").append(_describe(verdict)))
    right = sum(v.correct for v in verdicts)
    where = f" Your answers are in {answers_file(number).as_posix()}." if kept.answers else ""
    out.print(Text(f"\n{right} of {len(verdicts)} right.{where}", style="bold"))
    if talking or given:
        _print_next_step(root, number, out, done=right == len(verdicts))
    return 0 if right == len(verdicts) else 1


def ask_open_questions(root: Path, number: int, out: Console) -> None:
    """Before what takes minutes: ask what is not answered rightly yet, where a student we know can be asked."""
    if not can_ask(out):
        return
    milestone = built_milestone(load(root), number)
    try:
        who = student_id(root)
        if who is None:
            return
        kept = _kept(root, number, who, out)
    except UsageError:  # a damaged file, or somebody else's answers: the report says so
        return
    count = sum(not verdict.correct for verdict in judge(milestone, kept, who))
    if not count:
        return
    out.print(f"{write_count(count, 'question')} of this milestone {'is' if count == 1 else 'are'} open.")
    if Confirm.ask("Answer before the rest is measured?", console=out, default=True):
        converse(root, milestone, for_student(milestone, who), kept, out)
    out.print()


def parse(said: str, asked: tuple[Asked, ...]) -> tuple[str, Answer]:
    """What `--answer` says: 2=9 → ("bias", 9), why=a,c → ("why", ("a", "c")). UsageError when it fits no question."""
    name, equals, value = (part.strip() for part in said.partition("="))
    places = {str(place): question for place, question in enumerate(asked, 1)}
    question = places.get(name) or next((q for q in asked if q.question_id == name), None)
    if not equals or question is None:
        raise UsageError(f"{said!r} answers no question. Write --answer 1=VALUE, with the number of the question.")
    try:
        return question.question_id, read_answer(value, question)
    except UnclearAnswerError as unclear:
        raise UsageError(f"{said!r}: {unclear}") from None


def converse(
    root: Path,
    milestone: Milestone,
    asked: tuple[Asked, ...],
    kept: Answers,
    out: Console,
    ask: Callable[[str], str] | None = None,
) -> Answers:
    """Ask what is not right yet, each until it is right or skipped, keeping every answer. Returns all of them."""
    ask = ask or (lambda prompt: Prompt.ask(Text(prompt), console=out, default="", show_default=False))
    verdicts = judge(milestone, kept, kept.student or "")
    pending = [q for q, verdict in zip(asked, verdicts, strict=True) if not verdict.correct]
    try:
        for place, question in enumerate(pending, 1):
            out.print(Text(f"\nQuestion {place} of {len(pending)}", style="bold"))
            _print_question(out, question)
            kept = _ask_one(root, milestone, question, kept, out, ask)
    except (KeyboardInterrupt, EOFError):
        count = len(kept.answers)
        where = f"{write_count(count, 'answer')} kept in {answers_file(milestone.id).as_posix()}; " if count else ""
        raise Interrupted(f"\nInterrupted: {where}go on with: tito milestone quiz {milestone.id}") from None
    return kept


def _ask_one(
    root: Path, milestone: Milestone, question: Asked, kept: Answers, out: Console, ask: Callable[[str], str]
) -> Answers:
    """Ask one question until its answer is right or empty."""
    form = "a letter, or several" if question.kind == "choice" else "a number"
    prompt = f"Your answer ({form}; empty: skip)"
    while (said := ask(prompt)).strip():
        try:
            answer = read_answer(said, question)
        except UnclearAnswerError as unclear:
            out.print(Text(str(unclear), style="yellow"))
            continue
        kept = _keep(root, milestone.id, replace(kept, answers={**kept.answers, question.question_id: answer}), out)
        verdicts = {v.question_id: v for v in judge(milestone, kept, kept.student or "")}
        out.print(_describe(verdicts[question.question_id]))
        if verdicts[question.question_id].correct:
            break
        prompt = "Another answer (empty: go on)"
    return kept


def _print_next_step(root: Path, number: int, out: Console, *, done: bool) -> None:
    """What to type after the last answer."""
    if done:
        goal = journey.next_goal(outline(root), progress.read(root, thorough=False))
        sentence, line = goal.sentence, goal.command
    else:
        sentence, line = "Answer what is not right yet.", f"tito milestone quiz {number}"
    out.print(Text.assemble(f"Next: {sentence}\n", (f"  {line}", "bold")))


def _kept(root: Path, number: int, who: str, out: Console) -> Answers:
    """The answers so far. Another student's are left alone; a damaged file is set aside when the first is saved."""
    try:
        kept = load_answers(root, number)
    except InvalidFileError as error:
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
    for place, (question, verdict) in enumerate(zip(asked, verdicts, strict=True), 1):
        out.print(Text(f"\nQuestion {place} of {len(asked)}", style="bold"))
        _print_question(out, question)
        out.print(_describe(verdict))
    out.print("\nAnswer in a terminal, or like this, with the question's number, and a number or letters such as a,c:")
    out.print(Text(f"  tito milestone quiz {number} --answer 1=VALUE", style="bold"), soft_wrap=True)


def _print_question(out: Console, question: Asked) -> None:
    from rich.markdown import Markdown  # slow to import, and most runs ask nothing

    out.print(Markdown(question.prompt) if out.is_terminal else Text(question.prompt))
    for letter, text in question.options.items():
        out.print(item(f"{letter})", text))


def _describe(verdict: QuestionVerdict) -> Text:
    if verdict.correct:
        return Text("Right.", style="green")
    told = Text(one_line(verdict.why or "Not right yet.", 400), style="yellow")
    return told.append(f" Read {verdict.read.rstrip('.')}.") if verdict.answered else told
