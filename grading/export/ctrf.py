"""Common Test Report Format (https://ctrf.io), a JSON format for test dashboards and summaries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from grading.export.scored_tests import ScoredTest, list_scored_tests
from grading.render import words
from grading.render.text import quote_text, to_one_line
from grading.result import CriterionStatus, Result

SPEC_VERSION = "0.0.0"
_STATUSES = {
    CriterionStatus.PASSED: "passed",
    CriterionStatus.FAILED: "failed",
    CriterionStatus.NOT_ATTEMPTED: "skipped",
    CriterionStatus.ERROR: "other",
}
"""CTRF has no status for errors. `other` is neither a success nor a failure of the code."""


def render_ctrf(results: Sequence[Result]) -> str:
    """Render one or more results as a CTRF document in JSON, with a test for each criterion and times in ms."""
    tests = [_build_ctrf_test(test) for test in list_scored_tests(results)]
    start = min(_find_start_milliseconds(result) for result in results)
    stop = max(_find_start_milliseconds(result) + round(1000 * result.timing.total) for result in results)
    counts = {status: sum(t["status"] == status for t in tests) for status in ("passed", "failed", "skipped", "other")}
    course, machine = results[0].course, results[0].machine
    document = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "timestamp": min(r.started_at for r in results).astimezone(UTC).isoformat(),
        "generatedBy": "tinytorch grading",
        "results": {
            "tool": {"name": to_one_line(course.name) or "tinytorch", "version": to_one_line(course.version)},
            "summary": {
                "tests": len(tests),
                **counts,
                "pending": 0,
                "suites": len(results),
                "start": start,
                "stop": stop,
            },
            "tests": tests,
            "environment": {
                "osPlatform": to_one_line(machine.system),
                "testEnvironment": to_one_line(machine.sandbox),
                "extra": {
                    "verdicts": {words.format_result_heading(result): result.verdict.value for result in results}
                },
            },
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _find_start_milliseconds(result: Result) -> int:
    """Return the time at which grading started, in milliseconds since 1970."""
    return round(1000 * result.started_at.timestamp())


def _build_ctrf_test(test: ScoredTest) -> dict[str, Any]:
    """Build the entry for one criterion in CTRF's format, with a duration of 0."""
    document: dict[str, Any] = {
        "name": test.name,
        "status": _STATUSES[test.status],
        "duration": 0,  # all criteria share one run, so none has a duration of its own
        "suite": [test.suite],
        "rawStatus": test.status.value,
        "message": test.message,
        "extra": {"score": test.score, "max-score": test.max_score, "reproduce": test.reproduce},
    }
    if test.failure and test.failure.file:
        document["filePath"] = to_one_line(test.failure.file)
        if test.failure.line is not None:
            document["line"] = test.failure.line
    if test.failure and test.failure.detail:
        document["trace"] = quote_text(test.failure.detail)
    return document
