"""Classroom 50's `result.json` (classroom50/result/v1), for its runner and gradebook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from grading.errors import UsageError
from grading.export.scored_tests import ScoredTest, list_scored_tests
from grading.result import Result

SCHEMA = "classroom50/result/v1"


def render_classroom50(results: Sequence[Result], environ: Mapping[str, str]) -> str:
    """Render results as Classroom 50's JSON document; raise UsageError if one of its runner's variables is missing.

    The variables identify the submission. The runner later overwrites `owner`, `assignment_type`, `datetime` (the time
    of the commit) and `graded_at`.
    """
    began, tests = [result.started_at for result in results], list_scored_tests(results)
    document = {
        "schema": SCHEMA,
        "classroom": _require_variable(environ, "CLASSROOM"),
        "assignment": _require_variable(environ, "ASSIGNMENT"),
        "assignment_type": environ.get("ASSIGNMENT_TYPE") or "individual",
        "owner": _require_variable(environ, "OWNER", "USERNAME"),
        "submission": _require_variable(environ, "SUBMISSION_TAG"),
        "commit": _require_variable(environ, "COMMIT_URL"),
        "release": _require_variable(environ, "RELEASE_URL"),
        "review": _require_variable(environ, "REVIEW_URL", "COMMIT_URL"),
        "datetime": _format_utc(min(began)),
        "graded_at": _format_utc(max(began)),
        "score": sum(test.score for test in tests),
        "max-score": sum(test.max_score for test in tests),
        "tests": list_classroom50_tests(tests),
    }
    return json.dumps(document, indent=2) + "\n"


def list_classroom50_tests(tests: Sequence[ScoredTest]) -> list[dict[str, str | int | bool]]:
    """List the criteria as tests in Classroom 50's format."""
    return [
        {
            "test-name": test.name,
            "passed": test.passed,
            "score": test.score,
            "max-score": test.max_score,
            "status": test.status.value,
            "message": test.message,
        }
        for test in tests
    ]


def _require_variable(environ: Mapping[str, str], *names: str) -> str:
    """Return the first of these variables that is set. Raise UsageError if none is set."""
    found = next((environ[name] for name in names if environ.get(name)), None)
    if found is None:
        raise UsageError(
            f"{names[0]} is not set. Classroom 50's runner sets it. To try this format, set it yourself: {names[0]}=x"
        )
    return found


def _format_utc(time: datetime) -> str:
    """Format a time in UTC to the second, as in 2026-11-30T10:00:00Z."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
