"""Write the evidence for each grade: a page for each student, with every criterion of each result that counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desk.class_report import ClassReport, StudentLine, get_score_state
from desk.gradebook import Gradebook
from desk.report_page import build_template_environment
from desk.repository import build_commit_address
from desk.scores import Score
from grading.manifest.model import Unit
from grading.render import figure_text, words
from grading.result import CriterionResult, CriterionStatus

FAILURES = 5
"""The maximum number of failures that are shown for one criterion."""


@dataclass(frozen=True)
class CriterionEvidence:
    """One criterion of a result, as the page shows it."""

    title: str
    status: str
    measured: str
    needed: str
    how: str
    failures: tuple[str, ...]
    more: int
    """The number of failures that are not shown."""


@dataclass(frozen=True)
class GradeEvidence:
    """One grade with its evidence."""

    score: Score
    name: str
    """The name of the milestone."""
    state: str
    commit: str | None
    """The URL of the commit's page."""
    measured: tuple[CriterionEvidence, ...]
    facts: tuple[tuple[str, str], ...]
    stale: tuple[str, ...]


def write_evidence_pages(book: Gradebook, report: ClassReport, folder: Path, report_name: str) -> int:
    """Write `folder/ID.html` for each student with a result, with a link to the report; return the number of pages."""
    template = build_template_environment().get_template("evidence.html.jinja")
    folder.mkdir(exist_ok=True)
    written = 0
    for line in report.lines:
        if any(score.grading is not None for score in line.scores):
            grades = list(_collect_evidence(book, report, line))
            text = template.render(line=line, grades=grades, report=report, back=f"../{report_name}")
            # Unlike `write_atomically`, this does not flush to disk, since these pages can always be written again.
            (folder / f"{line.row.id}.html").write_bytes(text.encode())
            written += 1
    return written


def _collect_evidence(book: Gradebook, report: ClassReport, line: StudentLine) -> Iterator[GradeEvidence]:
    """Collect the evidence for each graded milestone of one student."""
    results = dict(book.read_result_texts(line.row.id))
    for one, score, stale in zip(report.distributions, line.scores, line.stale, strict=True):
        if score.grading is None:
            continue
        raw = json.loads(results[score.grading.id])
        yield GradeEvidence(
            score=score,
            name=one.name,
            state=get_score_state(score),
            commit=build_commit_address(line.row.repository, score.grading.commit),
            measured=tuple(map(_build_criterion_evidence, raw["criteria"])),
            facts=tuple(_list_grade_facts(score, raw)),
            stale=stale,
        )


def _build_criterion_evidence(raw: dict[str, Any]) -> CriterionEvidence:
    """Build a criterion's evidence from its raw record, unvalidated, since validating 10,000 would take seconds."""
    known = {**raw, "unit": Unit(raw["unit"]), "measured": raw.get("measured"), "failures": ()}
    criterion = CriterionResult.model_construct(**known)
    failures = [
        (f"Task {f['task']}: " if f.get("task") else "") + f["title"] + (f" (got {f['got']})" if f.get("got") else "")
        for f in raw.get("failures", ())
    ]
    return CriterionEvidence(
        title=criterion.title,
        status=words.STATUS_NAMES[CriterionStatus(criterion.status)],
        measured=figure_text.format_measured(criterion),
        needed=figure_text.format_threshold(criterion),
        how=raw.get("how") or raw.get("explanation") or "",
        failures=tuple(failures[:FAILURES]),
        more=max(0, len(failures) - FAILURES),
    )


def _list_grade_facts(score: Score, raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """List facts that explain how the grade was determined, as (term, value)."""
    assert score.grading is not None
    yield "Judged by", score.judging_course_label
    yield "Graded", f"{score.grading.started_at:%Y-%m-%d %H:%M} UTC"
    if score.push is not None:
        yield "Pushed", f"{score.push.at:%Y-%m-%d %H:%M} UTC (source: {score.push.source})"
    if score.terms is not None:
        yield (
            "Late",
            f"{score.days_late} day{'' if score.days_late == 1 else 's'}, which leaves {score.remaining_share:.0%}",
        )
    yield "Different submissions graded", str(score.attempts)
    yield "Files", f"{score.grading.submission_digest[:16]} (SHA-256)"
    yield "Seed", str(raw.get("seed", ""))
    yield "Machine", f"{raw['machine']['system']}, {words.name_sandbox(raw['machine']['sandbox'])}"
    for data in raw.get("data", ()):
        yield "Data", data["name"] + (f", instead of {data['stand_in_for']}" if data.get("stand_in_for") else "")
    if score.by_hand.describe():
        yield "By hand", score.by_hand.describe()
    if score.by_hand.comment:
        yield "For the student", score.by_hand.comment
