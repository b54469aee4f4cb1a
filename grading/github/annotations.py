"""The check run `TinyTorch`: its conclusion, and a note on each line of the student's code that a failure names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from grading.github.api import Client, Part, settled, taken, translate_errors
from grading.github.comment import Report, front, headline
from grading.render import words
from grading.render.text import labelled, one_line
from grading.result import Failure, Result, Verdict

NAME = "TinyTorch"
BATCH = 50
"""GitHub accepts no more annotations in one request."""
MOST = 200
LAST_LINE = 100_000
Conclusion = Literal["success", "failure", "neutral"]


class _App(Part):
    slug: str | None = None


class _Output(Part):
    annotations_count: int


class _CheckRun(Part):
    id: int
    external_id: str | None
    app: _App | None
    output: _Output


class _CheckRuns(Part):
    check_runs: list[_CheckRun]


@dataclass(frozen=True)
class LineNote:
    """A note on one line of a student's file."""

    path: str
    line: int
    title: str
    message: str


def line_notes(results: tuple[Result, ...]) -> tuple[LineNote, ...]:
    """Collect what the failures say about lines of the graded files, each note once."""
    found: dict[LineNote, None] = {}
    for result in results:
        graded = {file.path for file in result.submission.files}
        for failure in words.failures(result):
            if failure.file in graded and failure.line is not None and 0 < failure.line <= LAST_LINE:
                found.setdefault(LineNote(failure.file, failure.line, words.label(failure, 150), _message(failure)))
                if len(found) == MOST:
                    return tuple(found)
    return tuple(found)


def _message(failure: Failure) -> str:
    """Format call, got, expected and hint as lines: GitHub shows an annotation's message as plain text."""
    parts = [("call", failure.call), ("got", failure.got), ("expected", failure.expected), ("hint", failure.hint)]
    lines = [labelled(f"{name}: ", text, 600) for name, text in parts if text]
    if fast := words.fast_loop(failure):
        lines.append(f"try: {fast}")
    return "\n".join(lines) or one_line(failure.title, 600)


def conclusion(report: Report) -> Conclusion:
    """Return failure only when the student has something to fix, and neutral when not everything could be judged."""
    verdicts = {r.verdict for r in report.results} | {Verdict(r.verdict) for r in report.reused}
    if Verdict.NOT_YET in verdicts:
        return "failure"
    return "success" if verdicts and Verdict.ERROR not in verdicts and not report.problems else "neutral"


def check(client: Client, repository: str, report: Report, author: str) -> None:
    """Create the check run on the report's commit, or finish the one that this run has begun."""
    owner, name = repository.split("/")
    notes = line_notes(report.ordered)
    key, slug = f"tinytorch-{report.run.id}-{report.run.attempt}", author.removesuffix("[bot]")
    texts = {"title": one_line(headline(report), 150), "summary": front(report)}
    fixed: dict[str, Any] = {"status": "completed", "conclusion": conclusion(report)}
    if report.run.url:
        fixed["details_url"] = report.run.url

    def once() -> None:
        """Create the check run or continue an earlier attempt; annotations already sent are not sent again."""
        checks = client.rest.checks
        listed = checks.list_for_ref(owner, name, report.commit, check_name=NAME, filter_="all", per_page=100)
        runs = taken(_CheckRuns, listed).check_runs
        mine = [c for c in runs if c.external_id == key and c.app and c.app.slug == slug]
        if mine:
            number, sent = mine[0].id, mine[0].output.annotations_count
        else:
            output: Any = {**texts, "annotations": _sent(notes[:BATCH])}
            created = checks.create(
                owner, name, name=NAME, head_sha=report.commit, external_id=key, output=output, **fixed
            )
            number, sent = taken(_CheckRun, created).id, len(notes[:BATCH])
        for start in range(sent, len(notes), BATCH):
            output = {**texts, "annotations": _sent(notes[start : start + BATCH])}
            checks.update(owner, name, number, output=output, **fixed)

    with translate_errors("the check run"):
        settled(once)


def _sent(notes: tuple[LineNote, ...]) -> list[dict[str, Any]]:
    """Build the annotations as GitHub's API expects them."""
    return [
        {
            "path": note.path,
            "start_line": note.line,
            "end_line": note.line,
            "annotation_level": "failure",
            "title": note.title,
            "message": note.message,
        }
        for note in notes
    ]
