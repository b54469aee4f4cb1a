"""Results in the formats of others: what their readers need is there, and right."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from grading.__main__ import app
from grading.errors import UsageError
from grading.export.scored_tests import list_scored_tests
from grading.export.write import ExportFormat, read_results, render_results
from grading.render.record import encode_result
from grading.result import Result, Verdict
from tests.export.classroom50 import ENVIRON, find_problem
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet, build_result
from tests.render.test_terminal_report import build_hostile_result

CTRF = json.loads((Path(__file__).parent / "ctrf" / "ctrf-schema-0.0.json").read_text())
MODULE = build_result(milestone=None, module="02_tensor", name="Tensors", medal=None)
ERROR = build_not_yet(
    criteria=(
        build_criterion("failed", 0.5, failures=(build_failure(),)),
        build_loss_criterion("error", None, explanation="No disk."),
        build_loss_criterion(),
    )
)


def parse_classroom50(*results: Result) -> dict:
    """Render and parse the document."""
    return json.loads(render_results(results, ExportFormat.CLASSROOM50, ENVIRON))


def parse_runner_result(*results: Result) -> dict:
    """Render the document and decode it as the reporter does."""
    return json.loads(base64.b64decode(render_results(results, ExportFormat.RUNNER, {})))


def parse_ctrf(*results: Result) -> dict:
    """Render the document and check it against the published schema."""
    document = json.loads(render_results(results, ExportFormat.CTRF, {}))
    jsonschema.Draft7Validator(CTRF, format_checker=jsonschema.FormatChecker()).validate(document)
    return document


def test_a_criterion_is_a_point() -> None:
    """Partial credit is the share of criteria that are met; an error earns nothing and says that it is one."""
    tests = list_scored_tests([ERROR, MODULE])
    assert [(t.score, t.max_score) for t in tests] == [(0, 1), (0, 1), (1, 1), (1, 1), (1, 1)]
    assert tests[0].name == "Milestone 1: The tests of modules 01 to 04 pass"
    assert tests[3].name.startswith("Module 02_tensor: ")
    assert tests[1].message == "error: No disk."
    assert "got [[11, 12], [3, 4]]; expected [[11, 22], [13, 24]]" in tests[0].message


def test_classroom50_gets_what_its_schema_asks_for() -> None:
    """Every field of classroom50/result/v1 that the runner or the gradebook checks, from the runner's variables."""
    document = parse_classroom50(build_not_yet())
    assert find_problem(document) is None
    assert set(document) == {
        *("schema", "classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release"),
        *("review", "datetime", "graded_at", "score", "max-score", "tests"),
    }
    assert (document["score"], document["max-score"]) == (0, 2)
    assert document["datetime"] == "2026-03-01T12:30:00Z"
    assert document["tests"][0]["passed"] is False
    assert parse_classroom50(build_result())["score"] == 2


def test_classroom50_without_its_variables_is_a_sentence() -> None:
    """The first that is missing is named."""
    with pytest.raises(UsageError, match="SUBMISSION_TAG is not set"):
        render_results([build_result()], ExportFormat.CLASSROOM50, ENVIRON | {"SUBMISSION_TAG": ""})


def simulate_reporter(results: dict) -> tuple[str, int, int]:
    """Return the reporter's outcome, points and maximum for a runner's result."""
    assert all(isinstance(t["name"], str) and t["status"] in ("pass", "fail", "error") for t in results["tests"])
    end = {"fail": "Some tests failed.", "error": "Some tests errored."}.get(results["status"], "")
    return end, sum(t["score"] for t in results["tests"]), results["max_score"]


def test_the_reporter_of_classroom_resources_reads_it() -> None:
    """Each test has a status, points and one line; an error of the grader is not a failed test."""
    assert simulate_reporter(parse_runner_result(build_result())) == ("", 2, 2)
    assert simulate_reporter(parse_runner_result(build_not_yet())) == ("Some tests failed.", 0, 2)
    unjudged = build_result(
        build_criterion(), build_loss_criterion("error", None, explanation="No disk."), verdict=Verdict.ERROR
    )
    assert simulate_reporter(parse_runner_result(unjudged)) == ("Some tests errored.", 1, 2)
    document = parse_runner_result(ERROR)
    assert document["version"] == 1
    assert [t["status"] for t in document["tests"]] == ["fail", "error", "pass"]
    assert [t["message"] is None for t in document["tests"]] == [False, False, True]
    assert (document["tests"][0]["filename"], document["tests"][0]["line_no"]) == (
        "modules/02_tensor/tinytorch/tensor.py",
        41,
    )


def test_the_runner_result_is_one_line_for_an_output() -> None:
    """What goes through GITHUB_OUTPUT must not hold a line of its own."""
    text = render_results([build_not_yet()], ExportFormat.RUNNER, {})
    assert text.count("\n") == 1
    assert re.fullmatch(r"[A-Za-z0-9+/=]+\n", text)


def test_ctrf_is_held_to_its_schema_and_counts_right() -> None:
    """A criterion is a test; an error is `other`, never failed."""
    document = parse_ctrf(ERROR, MODULE)
    summary = document["results"]["summary"]
    kept = {key: summary[key] for key in ("tests", "passed", "failed", "skipped", "pending", "other", "suites")}
    assert kept == {"tests": 5, "passed": 3, "failed": 1, "skipped": 0, "pending": 0, "other": 1, "suites": 2}
    assert summary["stop"] - summary["start"] == 4200
    first = document["results"]["tests"][0]
    assert (first["filePath"], first["line"]) == ("modules/02_tensor/tinytorch/tensor.py", 41)
    assert parse_ctrf(build_not_yet())["results"]["summary"]["skipped"] == 1


def test_gradescope_sees_points_and_no_failure_of_the_machine_s() -> None:
    """`results.json` as its harness reads it: an error has no status, and says what to do."""
    document = json.loads(render_results([ERROR, MODULE], ExportFormat.GRADESCOPE, {}))
    tests = document["tests"]
    assert [(t["score"], t["max_score"], t.get("status")) for t in tests] == [
        (0, 1, "failed"), (0, 1, None), (1, 1, "passed"), (1, 1, "passed"), (1, 1, "passed"),
    ]  # fmt: skip
    assert document["score"] == 3
    assert [t["number"] for t in tests] == ["1", "2", "3", "4", "5"]
    assert tests[1]["output"] == "error: No disk."
    assert "Run the autograder again" in document["output"]
    assert document["stdout_visibility"] == "hidden"
    assert "Run the autograder again" not in json.loads(render_results([MODULE], ExportFormat.GRADESCOPE, {}))["output"]


def test_junit_holds_several_results() -> None:
    """A suite for each."""
    root = ET.fromstring(render_results([ERROR, MODULE], ExportFormat.JUNIT, {}))  # noqa: S314 - our own output
    assert [suite.get("name") for suite in root] == ["Milestone 1: Basic Inference", "Module 02_tensor: Tensors"]


def test_nothing_hostile_gets_out() -> None:
    """No escape, no control character, no line that GitHub's log would read as a command."""
    nasty = "x\n::error::owned\x1b[31m\u202e ##[group]"
    record = build_not_yet(
        criteria=(build_criterion("failed", 0.1, title=nasty, failures=(build_failure(title=nasty, got=nasty),)),)
    )
    gradescope = json.loads(render_results([record], ExportFormat.GRADESCOPE, {}))
    for document in (parse_classroom50(record), parse_runner_result(record), parse_ctrf(record), gradescope):
        texts = json.dumps(document, ensure_ascii=False)
        assert "::error::" not in texts
        assert not re.search("[\x1b\u202e]|##\\[", texts)
    names = [t["name"] for t in parse_runner_result(record)["tests"]] + [
        t["message"] for t in parse_runner_result(record)["tests"]
    ]
    assert not any("\n" in text for text in names)
    for form in ExportFormat:
        assert render_results([build_hostile_result()], form, ENVIRON)


@given(st.text(), st.text(), st.none() | st.integers(-(2**40), 2**40))
def test_whatever_a_student_writes_fits_the_formats(title: str, got: str, line: int | None) -> None:
    """The schemas hold for any text."""
    bad = build_failure(title=title, got=got, line=line, file=got, detail=title)
    record = build_not_yet(criteria=(build_criterion("failed", 0.1, title=title, failures=(bad,)),))
    parse_ctrf(record)
    assert find_problem(parse_classroom50(record)) is None
    simulate_reporter(parse_runner_result(record))


def test_the_command_writes_each_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files are exported together."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    arguments = []
    for index, record in enumerate((build_not_yet(), MODULE)):
        (tmp_path / f"{index}.json").write_text(encode_result(record))
        arguments += ["--result", str(tmp_path / f"{index}.json")]
    for form in ExportFormat:
        to = tmp_path / f"out.{form}"
        ran = CliRunner().invoke(app, ["export", "--format", form.value, *arguments, "--to", str(to)])
        assert ran.exit_code == 0, ran.output
        assert to.read_text() == render_results([build_not_yet(), MODULE], form, ENVIRON)


def test_what_is_no_record_is_named(tmp_path: Path) -> None:
    """Missing, oversized, not JSON, another document: a sentence with the file and the command that writes one."""
    cases = {"no.json": None, "bad.json": b"{", "other.json": b'{"record": "x"}', "big.json": b" " * 4_000_001}
    for name, data in cases.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(UsageError, match=rf"{name} .*--json result.json"):
            read_results([path])
