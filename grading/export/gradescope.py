"""Gradescope's `results.json`, which its harness reads from /autograder/results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grading.export.scored_tests import ScoredTest, list_scored_tests
from grading.render import words
from grading.render.text import to_one_line
from grading.result import CriterionStatus, Result


def render_gradescope(results: Sequence[Result]) -> str:
    """Render results as Gradescope's JSON document, with the verdict on each result and a test for each criterion."""
    tests = list_scored_tests(results)
    lines = [
        f"{to_one_line(words.format_result_heading(result), 200)}: {words.describe_verdict(result)}"
        for result in results
    ]
    if any(test.status is CriterionStatus.ERROR for test in tests):
        lines.append("Something could not be judged. This is not the submission's fault. Run the autograder again.")
    document = {
        "score": sum(test.score for test in tests),
        "execution_time": round(sum(result.timing.total for result in results)),
        "output": "\n".join(lines),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",  # the harness's own output; what the student's code printed is in the record
        "tests": [_build_gradescope_test(number, test) for number, test in enumerate(tests, start=1)],
    }
    return json.dumps(document, indent=2) + "\n"


def _build_gradescope_test(number: int, test: ScoredTest) -> dict[str, Any]:
    """Build the entry for one criterion in Gradescope's format."""
    document: dict[str, Any] = {
        "number": str(number),
        "name": test.name,
        "score": test.score,
        "max_score": test.max_score,
        "output": test.message,
        "tags": [test.suite],
        "extra_data": {"status": test.status.value, "reproduce": test.reproduce},
    }
    if (
        test.status is not CriterionStatus.ERROR
    ):  # the format has no status for errors, and "failed" would blame the student
        document["status"] = "passed" if test.passed else "failed"
    return document
