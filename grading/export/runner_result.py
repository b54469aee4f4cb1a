"""The input of `classroom-resources/autograding-grading-reporter`: a runner's result as base64 of JSON on one line."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from grading.export.scored_tests import ScoredTest, combine_verdicts, list_scored_tests
from grading.render.text import to_one_line
from grading.result import CriterionStatus, Result

_STATUSES = {CriterionStatus.PASSED: "pass", CriterionStatus.ERROR: "error"}


def render_runner_result(results: Sequence[Result]) -> str:
    """Render results as the value of the reporter's variable `<RUNNER>_RESULTS`: JSON in base64."""
    tests = list_scored_tests(results)
    document = {
        "version": 1,
        "status": combine_verdicts(results),
        "max_score": sum(test.max_score for test in tests),
        "tests": [_build_runner_test(test) for test in tests],
    }
    return base64.b64encode(json.dumps(document).encode()).decode() + "\n"


def _build_runner_test(test: ScoredTest) -> dict[str, object]:
    """Build the entry for one criterion in the format that GitHub Classroom's reporter reads."""
    failure = test.failure
    return {
        "name": test.name,
        "status": _STATUSES.get(test.status, "fail"),
        "score": test.score,
        "message": None if test.passed else test.message,
        "test_code": test.reproduce,
        "filename": to_one_line(failure.file) if failure and failure.file else "",
        "line_no": (failure.line if failure else None) or 0,
        "duration": 0,  # all criteria share one run, so none has a duration of its own
    }
