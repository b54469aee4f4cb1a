"""Publish the check run `TinyTorch`, with its conclusion and a note on each line of student code that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from grading.github.api import ApiModel, Client, retry_lost_requests, translate_errors, validate_response
from grading.github.comment import RunReport, build_report_headline, build_visible_part
from grading.render import words
from grading.render.text import prefix_text_with_label, to_one_line
from grading.result import Failure, Result, Verdict

CHECK_RUN_NAME = "TinyTorch"
ANNOTATIONS_PER_REQUEST = 50
"""The maximum number of annotations that GitHub accepts in one request."""
MAX_ANNOTATIONS = 200
MAX_LINE_NUMBER = 100_000
Conclusion = Literal["success", "failure", "neutral"]


class _GitHubApp(ApiModel):
    slug: str | None = None


class _CheckRunOutput(ApiModel):
    annotations_count: int


class _CheckRun(ApiModel):
    id: int
    external_id: str | None
    app: _GitHubApp | None
    output: _CheckRunOutput


class _CheckRunList(ApiModel):
    check_runs: list[_CheckRun]


@dataclass(frozen=True)
class LineNote:
    """A note on one line of a student's file."""

    path: str
    line: int
    title: str
    message: str


def collect_line_notes(results: tuple[Result, ...]) -> tuple[LineNote, ...]:
    """Collect the first MAX_ANNOTATIONS notes of failures on lines of the graded files, without duplicates."""
    found: dict[LineNote, None] = {}
    for result in results:
        graded = {file.path for file in result.submission.files}
        for failure in words.list_failures(result):
            if failure.file in graded and failure.line is not None and 0 < failure.line <= MAX_LINE_NUMBER:
                found.setdefault(
                    LineNote(
                        failure.file,
                        failure.line,
                        words.format_failure_title(failure, 150),
                        _format_failure_lines(failure),
                    )
                )
                if len(found) == MAX_ANNOTATIONS:
                    return tuple(found)
    return tuple(found)


def _format_failure_lines(failure: Failure) -> str:
    """Format call, got, expected and hint as lines, because GitHub shows an annotation's message as plain text."""
    parts = [("call", failure.call), ("got", failure.got), ("expected", failure.expected), ("hint", failure.hint)]
    lines = [prefix_text_with_label(f"{name}: ", text, 600) for name, text in parts if text]
    if fast := words.build_test_command(failure):
        lines.append(f"try: {fast}")
    return "\n".join(lines) or to_one_line(failure.title, 600)


def decide_conclusion(report: RunReport) -> Conclusion:
    """Return "failure" if a verdict is "not yet", else "neutral" if one is an error or missing, else "success"."""
    verdicts = {r.verdict for r in report.results} | {Verdict(r.verdict) for r in report.reused}
    if Verdict.NOT_YET in verdicts:
        return "failure"
    return "success" if verdicts and Verdict.ERROR not in verdicts and not report.problems else "neutral"


def publish_check_run(client: Client, repository: str, report: RunReport, author: str) -> None:
    """Create the check run on the report's commit, or complete the one that this run has already created."""
    owner, name = repository.split("/")
    notes = collect_line_notes(report.first_results_in_order)
    key, slug = f"tinytorch-{report.run.id}-{report.run.attempt}", author.removesuffix("[bot]")
    texts = {"title": to_one_line(build_report_headline(report), 150), "summary": build_visible_part(report)}
    fixed: dict[str, Any] = {"status": "completed", "conclusion": decide_conclusion(report)}
    if report.run.url:
        fixed["details_url"] = report.run.url

    def create_or_finish() -> None:
        """Create the check run or continue an earlier attempt, without sending annotations twice."""
        checks = client.rest.checks
        listed = checks.list_for_ref(owner, name, report.commit, check_name=CHECK_RUN_NAME, filter_="all", per_page=100)
        runs = validate_response(_CheckRunList, listed).check_runs
        mine = [c for c in runs if c.external_id == key and c.app and c.app.slug == slug]
        if mine:
            number, sent = mine[0].id, mine[0].output.annotations_count
        else:
            output: Any = {**texts, "annotations": _build_annotations(notes[:ANNOTATIONS_PER_REQUEST])}
            created = checks.create(
                owner, name, name=CHECK_RUN_NAME, head_sha=report.commit, external_id=key, output=output, **fixed
            )
            number, sent = validate_response(_CheckRun, created).id, len(notes[:ANNOTATIONS_PER_REQUEST])
        for start in range(sent, len(notes), ANNOTATIONS_PER_REQUEST):
            output = {**texts, "annotations": _build_annotations(notes[start : start + ANNOTATIONS_PER_REQUEST])}
            checks.update(owner, name, number, output=output, **fixed)

    with translate_errors("the check run"):
        retry_lost_requests(create_or_finish)


def _build_annotations(notes: tuple[LineNote, ...]) -> list[dict[str, Any]]:
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
