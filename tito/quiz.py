"""`tito milestone quiz`: ask the questions that are still open, check the answers and save them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.text import Text

from grading import journey, progress
from grading.errors import Interrupted, UsageError
from grading.grade import find_built_milestone
from grading.manifest.loader import load_manifest
from grading.manifest.model import Milestone
from grading.quiz.answer_file import Answer, Answers, get_answers_path, load_answers, save_answers
from grading.quiz.judge import QuestionVerdict, judge_answers
from grading.quiz.safe_yaml import InvalidFileError
from grading.quiz.student_id import read_student_id
from grading.quiz.student_questions import StudentQuestion, build_student_questions
from grading.quiz.typed import UnclearAnswerError, parse_typed_answer
from grading.render.text import format_count, to_one_line
from tito.console import format_list_item, open_console
from tito.identity import can_ask, find_or_ask_for_student_id
from tito.outline import read_outline


def run_quiz(root: Path, number: int, given_answers: list[str], student: str | None) -> int:
    """Save the given answers, or ask for them, or only print the questions if nobody can be asked; then check.

    Return 0 if all answers are correct, else 1.
    """
    out, milestone = open_console(), load_manifest(root).milestone(number)
    if not milestone.questions:
        raise UsageError(f"Milestone {number} has no questions.")
    talking, who = can_ask(out), find_or_ask_for_student_id(root, student, out)
    asked, kept = build_student_questions(milestone, who), _load_kept_answers(root, number, who, out)
    if given_answers:
        new = dict(parse_answer_option(answer, asked) for answer in given_answers)
        kept = _save_kept_answers(root, number, replace(kept, answers={**kept.answers, **new}), out)
    elif talking:
        kept = ask_questions(root, milestone, asked, kept, out)
    verdicts = judge_answers(milestone, kept, who)
    if not given_answers and not talking:
        _print_questions(out, asked, verdicts, number)
    elif not talking:
        for place, verdict in enumerate(verdicts, 1):
            out.print(Text(f"Question {place}: ").append(_format_question_verdict(verdict)))
    right = sum(v.correct for v in verdicts)
    where = f" Your answers are in {get_answers_path(number).as_posix()}." if kept.answers else ""
    out.print(Text(f"\n{right} of {len(verdicts)} correct.{where}", style="bold"))
    if talking or given_answers:
        _print_next_step(root, number, out, done=right == len(verdicts))
    return 0 if right == len(verdicts) else 1


def offer_open_questions(root: Path, number: int, out: Console) -> None:
    """Before a long measurement, offer to ask the questions that a known student has not yet answered correctly."""
    if not can_ask(out):
        return
    milestone = find_built_milestone(load_manifest(root), number)
    try:
        who = read_student_id(root)
        if who is None:
            return
        kept = _load_kept_answers(root, number, who, out)
    except UsageError:  # the report mentions a damaged file or another student's answers
        return
    count = sum(not verdict.correct for verdict in judge_answers(milestone, kept, who))
    if not count:
        return
    out.print(f"{format_count(count, 'question')} of this milestone {'is' if count == 1 else 'are'} open.")
    if Confirm.ask("Answer now, before the measurement?", console=out, default=True):
        ask_questions(root, milestone, build_student_questions(milestone, who), kept, out)
    out.print()


def parse_answer_option(option_text: str, asked: tuple[StudentQuestion, ...]) -> tuple[str, Answer]:
    """Parse an `--answer` value, as in 2=9 → ("bias", 9); raise UsageError for an unknown question or unclear answer.

    A question may be given by its id, and a choice by several letters: why=a,c → ("why", ("a", "c")).
    """
    name, equals, value = (part.strip() for part in option_text.partition("="))
    places = {str(place): question for place, question in enumerate(asked, 1)}
    question = places.get(name) or next((q for q in asked if q.question_id == name), None)
    if not equals or question is None:
        raise UsageError(
            f"{option_text!r} does not answer any question. Write --answer 1=VALUE, with the question's number."
        )
    try:
        return question.question_id, parse_typed_answer(value, question)
    except UnclearAnswerError as unclear:
        raise UsageError(f"{option_text!r}: {unclear}") from None


def ask_questions(
    root: Path,
    milestone: Milestone,
    asked: tuple[StudentQuestion, ...],
    kept: Answers,
    out: Console,
    ask: Callable[[str], str] | None = None,
) -> Answers:
    """Ask each open question until the answer is correct or the question is skipped. Save and return all answers."""
    ask = ask or (lambda prompt: Prompt.ask(Text(prompt), console=out, default="", show_default=False))
    verdicts = judge_answers(milestone, kept, kept.student or "")
    pending = [q for q, verdict in zip(asked, verdicts, strict=True) if not verdict.correct]
    try:
        for place, question in enumerate(pending, 1):
            out.print(Text(f"\nQuestion {place} of {len(pending)}", style="bold"))
            _print_question(out, question)
            kept = _ask_question(root, milestone, question, kept, out, ask)
    except (KeyboardInterrupt, EOFError):
        count = len(kept.answers)
        where = (
            f" {format_count(count, 'answer')} saved in {get_answers_path(milestone.id).as_posix()}." if count else ""
        )
        raise Interrupted(f"\nInterrupted.{where} To continue: tito milestone quiz {milestone.id}") from None
    return kept


def _ask_question(
    root: Path, milestone: Milestone, question: StudentQuestion, kept: Answers, out: Console, ask: Callable[[str], str]
) -> Answers:
    """Ask one question until its answer is correct or empty, save each answer, and return all answers given so far."""
    form = "one or more letters" if question.kind == "choice" else "a number"
    prompt = f"Your answer ({form}, or Enter to skip)"
    while (said := ask(prompt)).strip():
        try:
            answer = parse_typed_answer(said, question)
        except UnclearAnswerError as unclear:
            out.print(Text(str(unclear), style="yellow"))
            continue
        kept = _save_kept_answers(
            root, milestone.id, replace(kept, answers={**kept.answers, question.question_id: answer}), out
        )
        verdicts = {v.question_id: v for v in judge_answers(milestone, kept, kept.student or "")}
        out.print(_format_question_verdict(verdicts[question.question_id]))
        if verdicts[question.question_id].correct:
            break
        prompt = "Try again (or press Enter to move on)"
    return kept


def _print_next_step(root: Path, number: int, out: Console, *, done: bool) -> None:
    """Print the next command after the last answer."""
    if done:
        goal = journey.find_next_goal(read_outline(root), progress.read_history(root, thorough=False))
        sentence, line = goal.sentence, goal.command
    else:
        sentence, line = "Answer the questions that are still open.", f"tito milestone quiz {number}"
    out.print(Text.assemble(f"Next: {sentence}\n", (f"  {line}", "bold")))


def _load_kept_answers(root: Path, number: int, student: str, out: Console) -> Answers:
    """Load the answers given so far; raise UsageError if they belong to another student.

    A damaged file counts as empty. It is set aside when the first answer is saved.
    """
    try:
        kept = load_answers(root, number)
    except InvalidFileError as error:
        out.print(Text(f"{to_one_line(str(error), 600)} It will be set aside when you answer.", style="yellow"))
        return Answers(student)
    if kept.answers and kept.student != student:
        path = get_answers_path(number).as_posix()
        raise UsageError(f"{path} contains {kept.student}'s answers, but you are {student}. Move that file away first.")
    return Answers(student, kept.answers)


def _save_kept_answers(root: Path, number: int, answers: Answers, out: Console) -> Answers:
    """Save the answers, print where a damaged file was moved to, and return the same answers."""
    aside = save_answers(root, number, answers)
    if aside is not None:
        out.print(Text(f"The damaged file is now {aside.as_posix()}.", style="yellow"))
    return answers


def _print_questions(
    out: Console, asked: tuple[StudentQuestion, ...], verdicts: tuple[QuestionVerdict, ...], number: int
) -> None:
    """Print all questions with their verdicts, and how to answer them without a terminal."""
    for place, (question, verdict) in enumerate(zip(asked, verdicts, strict=True), 1):
        out.print(Text(f"\nQuestion {place} of {len(asked)}", style="bold"))
        _print_question(out, question)
        out.print(_format_question_verdict(verdict))
    out.print(
        "\nAnswer in a terminal, or pass the question's number and your answer (a number or letters such as a,c):"
    )
    out.print(Text(f"  tito milestone quiz {number} --answer 1=VALUE", style="bold"), soft_wrap=True)


def _print_question(out: Console, question: StudentQuestion) -> None:
    """Print a question and its options."""
    from rich.markdown import Markdown  # slow to import, and most runs ask nothing

    out.print(Markdown(question.prompt) if out.is_terminal else Text(join_paragraphs(question.prompt)))
    for letter, text in question.options.items():
        out.print(format_list_item(f"{letter})", text))


def join_paragraphs(text: str) -> str:
    """Put each paragraph and list item of a Markdown text on one line, and leave code as it is."""
    lines: list[str] = []
    in_fence = can_join = False
    for line in text.rstrip("\n").split("\n"):
        in_fence ^= line.lstrip().startswith("```")
        starts_block = not line.strip() or in_fence or re.match(r"\s{4}|\s*([-*#]\s|\||```|\d+\.\s)", line) is not None
        if can_join and not starts_block:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
        can_join = bool(line.strip()) and not in_fence and re.match(r"\s{4}|\s*(#\s|\||```)", line) is None
    return "\n".join(lines)


def _format_question_verdict(verdict: QuestionVerdict) -> Text:
    """Describe whether an answer is correct and, if it is not, why and what to read."""
    if verdict.correct:
        return Text("Right.", style="green")
    told = Text(to_one_line(verdict.why or "Not right yet.", 400), style="yellow")
    return told.append(f" Read {verdict.read.rstrip('.')}.") if verdict.answered else told
