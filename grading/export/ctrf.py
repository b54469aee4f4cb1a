"""Common Test Report Format (https://ctrf.io): JSON for dashboards and summaries of tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from grading.export.points import Scored, scored
from grading.render import words
from grading.render.text import one_line, quote
from grading.result import CriterionStatus, Result

SPEC = "0.0.0"
_STATUSES = {
    CriterionStatus.PASSED: "passed",
    CriterionStatus.FAILED: "failed",
    CriterionStatus.NOT_ATTEMPTED: "skipped",
    CriterionStatus.ERROR: "other",
}
"""CTRF has no error; `other` is neither a success nor a failure of the code."""


def ctrf(results: Sequence[Result]) -> str:
    """Render the document: one test for each criterion, times in milliseconds."""
    tests = [_test(test) for test in scored(results)]
    start = min(_milliseconds(result) for result in results)
    stop = max(_milliseconds(result) + round(1000 * result.timing.total) for result in results)
    counts = {status: sum(t["status"] == status for t in tests) for status in ("passed", "failed", "skipped", "other")}
    course, machine = results[0].course, results[0].machine
    document = {
        "reportFormat": "CTRF",
        "specVersion": SPEC,
        "timestamp": min(r.started_at for r in results).astimezone(UTC).isoformat(),
        "generatedBy": "tinytorch grading",
        "results": {
            "tool": {"name": one_line(course.name) or "tinytorch", "version": one_line(course.version)},
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
                "osPlatform": one_line(machine.system),
                "testEnvironment": one_line(machine.sandbox),
                "extra": {"verdicts": {words.heading(result): result.verdict.value for result in results}},
            },
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _milliseconds(result: Result) -> int:
    """Return the start of the grading in milliseconds since 1970."""
    return round(1000 * result.started_at.timestamp())


def _test(test: Scored) -> dict[str, Any]:
    """Build the document's entry for one criterion."""
    document: dict[str, Any] = {
        "name": test.name,
        "status": _STATUSES[test.status],
        "duration": 0,  # all criteria share one run, so none has a time of its own
        "suite": [test.suite],
        "rawStatus": test.status.value,
        "message": test.message,
        "extra": {"score": test.score, "max-score": test.max_score, "reproduce": test.reproduce},
    }
    if test.failure and test.failure.file:
        document["filePath"] = one_line(test.failure.file)
        if test.failure.line is not None:
            document["line"] = test.failure.line
    if test.failure and test.failure.detail:
        document["trace"] = quote(test.failure.detail)
    return document
