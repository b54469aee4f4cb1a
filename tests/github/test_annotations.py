"""The check run says what the verdicts add up to, and stands on the student's own lines."""

from __future__ import annotations

import pytest

from grading.github.annotations import MAX_LINE_NUMBER, collect_line_notes, decide_conclusion, publish_check_run
from grading.github.api import Client
from grading.github.comment import ReportingRun, RunReport
from grading.github.sticky import AUTHOR
from grading.result import Failure, Result, Verdict
from tests.github.local import Fault, build_error
from tests.github.runs import COMMIT, REPOSITORY, Runs, build_failing, build_failures, build_reused, build_unlocked
from tests.render.results import build_criterion, build_failure
from tests.render.test_documents import LIVE

FILE = "modules/02_tensor/tinytorch/tensor.py"


def build_report(*results: Result, run: int = 12, attempt: int = 1, **changes: object) -> RunReport:
    """Build a report of these results."""
    return RunReport(results, COMMIT, ReportingRun(run, attempt, "https://github.com/x"), **changes)


def build_failed_result(*failures: Failure) -> Result:
    """Build a result with these failures."""
    return build_failing(criteria=(build_criterion("failed", 0.1, failures=failures),))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("../../etc/passwd", 1),
        ("/etc/passwd", 1),
        ("milestones.yaml", 1),
        ("modules/02_tensor/test_tensor.py", 1),
        (FILE, 0),
        (FILE, -1),
        (FILE, MAX_LINE_NUMBER + 1),
        (FILE, None),
        (None, 3),
    ],
)
def test_only_lines_of_files_that_were_graded_are_noted(file: str | None, line: int | None) -> None:
    """A failure that names another file, or a line that cannot be, makes no annotation."""
    assert collect_line_notes((build_failed_result(build_failure(file=file, line=line)),)) == ()
    assert len(collect_line_notes((build_failed_result(build_failure(file=FILE, line=1)),))) == 1


def test_the_same_on_one_line_is_noted_once() -> None:
    """A module's failure that a milestone repeats is one note."""
    both = (build_failed_result(build_failure()), build_failed_result(build_failure(), build_failure(got="another")))
    assert len(collect_line_notes(both)) == 2


def test_a_note_is_clean_and_bounded() -> None:
    """No escapes, no workflow commands, no megabytes in a title or a message."""
    flood = (LIVE + "\x1b[31m\n::error::x\n") * 50_000
    [note] = collect_line_notes(
        (build_failed_result(build_failure(title=flood, call=flood, got=flood, hint=flood, expected=flood)),)
    )
    assert len(note.title) < 255
    assert len(note.message) < 5000
    assert "\x1b" not in note.title + note.message
    assert "::error::" not in note.title + note.message


ERROR = build_unlocked(criteria=(build_criterion("error", None),), verdict=Verdict.ERROR)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (build_report(build_unlocked()), "success"),
        (build_report(build_unlocked(verdict=Verdict.PROVISIONAL, provisional_because=("digits",))), "success"),
        (build_report(build_unlocked(), build_failing()), "failure"),
        (build_report(ERROR), "neutral"),
        (build_report(ERROR, build_failing()), "failure"),
        (build_report(build_unlocked(), problems=("milestone-2: nothing was handed over.",)), "neutral"),
        (build_report(problems=("plan: nothing was handed over.",)), "neutral"),
        (build_report(), "neutral"),
        (build_report(reused=(build_reused("milestone-1", "x"),)), "success"),
        (build_report(build_unlocked(), reused=(build_reused("milestone-1", "x", "not_yet"),)), "failure"),
    ],
)
def test_only_the_students_own_failure_is_a_failure(told: RunReport, expected: str) -> None:
    """An error or a missing result is neutral, never red and never green."""
    assert decide_conclusion(told) == expected


def test_more_notes_than_one_request_takes_are_sent_in_several(runs: Runs, client: Client) -> None:
    """120 failures: one check run, 120 annotations, each once."""
    publish_check_run(client, REPOSITORY, build_report(build_failed_result(*build_failures(120))), AUTHOR)
    [made] = runs.repository.check_runs
    lines = [note["start_line"] for note in runs.repository.annotations[made["id"]]]
    assert lines == list(range(1, 121))
    assert (made["conclusion"], made["output"]["title"]) == ("failure", "Module 02_tensor: Tensor, not yet")


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(("method", "path"), [("POST", "/check-runs$"), ("PATCH", "/check-runs/")])
def test_what_was_sent_is_not_sent_again(
    runs: Runs, client: Client, waits: list[float], method: str, path: str, done: bool
) -> None:
    """A request fails, or its answer gets lost: still one check run."""
    runs.hub.faults.append(Fault(method, path, build_error(502, "oops"), done=done))
    publish_check_run(client, REPOSITORY, build_report(build_failed_result(*build_failures(70))), AUTHOR)
    [made] = runs.repository.check_runs
    lines = [note["start_line"] for note in runs.repository.annotations[made["id"]]]
    assert sorted(set(lines)) == list(range(1, 71))
    assert len(lines) == 70
    assert waits


def test_a_new_attempt_has_a_check_run_of_its_own(runs: Runs, client: Client) -> None:
    """The same attempt finds its own; another's of the same name is left alone."""
    for attempt in (1, 1, 2):
        publish_check_run(client, REPOSITORY, build_report(build_failing(), attempt=attempt), AUTHOR)
    assert [run["external_id"] for run in runs.repository.check_runs] == ["tinytorch-12-1", "tinytorch-12-2"]
    assert [len(notes) for notes in runs.repository.annotations.values()] == [2, 2]


def test_somebody_elses_check_run_is_not_ours(runs: Runs, client: Client) -> None:
    """A check run of this name and key that another app has made is left alone."""
    publish_check_run(client, REPOSITORY, build_report(build_unlocked()), AUTHOR)
    runs.repository.check_runs[0]["app"]["slug"] = "students-app"
    publish_check_run(client, REPOSITORY, build_report(build_failing()), AUTHOR)
    assert [run["conclusion"] for run in runs.repository.check_runs] == ["success", "failure"]
