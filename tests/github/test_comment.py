"""The comment tells what a student needs, is bounded and harmless whatever the records hold."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from grading.github.comment import (
    MARKER,
    MAX_CHARACTERS,
    ReportingRun,
    RunReport,
    build_comment,
    build_report_headline,
    build_run_summary,
    build_visible_part,
)
from grading.github.comment_state import CriterionState, ReportState, SessionState, decode_report_state
from grading.manifest.model import CriterionKind, Unit
from grading.result import CourseRecord, Curve, Note, Result, SubmissionRecord, Verdict
from tests.desk.test_deadlines import DEADLINES
from tests.github.runs import COMMIT, MANIFEST, build_reused, set_commit
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet, build_result
from tests.render.test_documents import LIVE
from tests.render.test_terminal_report import build_hostile_result


def build_unlocked(**changes: Any) -> Result:
    """Build milestone 1, unlocked by two criteria."""
    return set_commit(build_result(**changes))


def build_failing(**changes: Any) -> Result:
    """Build a result of module 02 that is not yet passed."""
    fields = {"milestone": None, "module": "02_tensor", "name": "Tensors", "medal": None}
    return set_commit(build_not_yet(**{**fields, "reproduce": "nox -s module-02_tensor -- --seed 42", **changes}))


RUN = ReportingRun(12, 1, "https://github.com/class/alice/actions/runs/12")
OWN_HTML = re.compile(
    r"<br>|</?sub>|</details>|<details><summary>[^<>]*</summary>|<!-- tinytorch:(report|state \S+) -->"
)
ALIVE = re.compile(r"(@|#|://|\bwww\.|\bGH-)\w", re.IGNORECASE)
COMMAND = re.compile(r"^\s*(::[A-Za-z][\w-]*([ \t].*)?::|##\[)", re.MULTILINE)


def build_report(*results: Result, **changes: Any) -> RunReport:
    """Build a report of these results."""
    return RunReport(results, COMMIT, RUN, **changes)


def build_hostile(text: str) -> Result:
    """Build a record with this text wherever text is possible."""
    bad = build_failure(
        task=text, title=text, call=text, got=text, expected=text, hint=text, file=text, detail=text, test=text
    )
    return set_commit(
        build_failing(
            name=text,
            reproduce=text,
            criteria=(
                build_criterion("failed", 0.1, title=text, explanation=text, how=text, failures=(bad, bad)),
                build_loss_criterion("error", None, explanation=text, title=text),
            ),
            student_output=text,
            provisional_because=(text,),
            submission=SubmissionRecord(digest=text, files=(), refused=(Note(path=text, message=text),)),
            course=CourseRecord(name=text, version=text, digest="c", changed=(text,)),
            curves=(Curve(name=text, seed=1, steps=(0.0, 1.0), values=(1.0, 0.5)),),
        )
    )


def assert_harmless(text: str) -> None:
    """Assert that only our own HTML and links are live for GitHub."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").parse(text)
    flat = [t for token in tokens for t in (token, *(token.children or ()))]
    html = [t.content for t in flat if t.type in ("html_inline", "html_block")]
    assert not [piece for piece in html if OWN_HTML.sub("", piece).strip()]
    assert {t.attrGet("href") for t in flat if t.type == "link_open"} <= {RUN.url}
    own = {"em_open", "s_open", "image", "ordered_list_open", "hr", "blockquote_open", "code_block"}
    assert not {t.type for t in flat} & own
    words = [t.content for t in flat if t.type == "text"] + html
    assert not [w for w in words if ALIVE.search(w)]
    assert not COMMAND.search(text)
    assert text.count("<details>") == text.count("</details>") or "```" in text
    opened = sum(piece.count("<details>") for piece in html)
    assert opened == sum(piece.count("</details>") for piece in html)


def test_the_verdicts_and_the_first_thing_to_mend_stand_in_front() -> None:
    """Before anything is unfolded: each verdict, the medal, and the first failure with all it says."""
    text = build_comment(build_report(build_unlocked(), build_failing()))
    shown = text.partition("<details>")[0]
    assert text.startswith(MARKER + "\n")
    for part in (
        "TinyTorch: 1 of 2 passed",
        "| ❌ | **Module 02\\_tensor: Tensors** | Not yet | 0 of 2 | ░░░░░░░░░░ |",
        "| 🏅 | **Milestone 1: Basic Inference** | Unlocked: Neural Architect | 2 of 2 | ██████████ |",
        "Task 2.3: A row is added to every row of a matrix",
        "got:      [[11, 12], [3, 4]]",
        "expected: [[11, 22], [13, 24]]",
        "Hint: NumPy broadcasts",
        "Try: `pytest modules/02_tensor/test_tensor.py::test_rows_are_added`",
        "Grade again: `nox -s module-02_tensor -- --seed 42`",
        "What counts is the instructor's own run, which uses different seeds",
    ):
        assert part in shown
    assert shown.count("Task 2.3") == text.count("Task 2.3") == 1


def test_each_criterion_has_its_figure_threshold_and_bar() -> None:
    """Folded: a table of criteria, the curve, and how and where it was measured."""
    text = build_comment(
        build_report(
            build_unlocked(
                criteria=(build_criterion("failed", 0.9), build_loss_criterion(how="5 seeds")), verdict=Verdict.NOT_YET
            )
        )
    )
    for part in ("| 90% | ≥ 100% | █████████░ |", "| 0.042 | ≤ 0.05 | ██████████ |", "█▄▁", "- 5 seeds", "sandbox"):
        assert part in text.partition("<details>")[2]


DUE_COURSE = MANIFEST.model_copy(update={"deadlines": DEADLINES})
"""The course with a deadline for milestone 1: 2026-10-23 23:59 in Berlin, three days of a tenth each."""


def build_passed_report() -> RunReport:
    """Build a report of milestone 1, unlocked a day after it was due."""
    accuracy = build_loss_criterion(name="accuracy", title="The worst network is right", measured=0.973, threshold=0.95)
    accuracy = accuracy.model_copy(update={"comparison": "at_least", "unit": Unit.FRACTION})
    made = build_unlocked(
        criteria=(build_criterion(), build_loss_criterion(), accuracy), started_at=datetime(2026, 10, 24, 9, tzinfo=UTC)
    )
    return build_report(made, manifest=DUE_COURSE)


def build_stopped_report() -> RunReport:
    """Build a report of milestone 1 with failed module tests, so that nine criteria were not attempted."""
    later = "Not attempted: fix the module tests first."
    kinds = [CriterionKind.PERFORMANCE] * 6 + [CriterionKind.RELIABILITY] * 3
    nine = [
        build_loss_criterion("not_attempted", None, kind=kind, name=f"c{n}", explanation=later)
        for n, kind in enumerate(kinds)
    ]
    quiz = build_criterion(
        "failed", 0.5, kind=CriterionKind.UNDERSTANDING, name="quiz", title="The questions are answered"
    )
    criteria = (build_criterion("failed", 0.9, failures=(build_failure(),)), *nine, quiz)
    return build_report(set_commit(build_not_yet(criteria=criteria)), manifest=DUE_COURSE)


@pytest.mark.parametrize(("name", "told"), [("passed", build_passed_report()), ("stopped", build_stopped_report())])
def test_the_whole_report_reads_as_it_should(name: str, told: RunReport) -> None:
    """A pass with points, lateness, margins, curve and the next step; and nine criteria that nobody attempted."""
    assert build_run_summary(told) == Path(__file__).with_name(f"report_{name}.md").read_text("utf-8")


def test_an_unknown_time_zone_stops_no_report() -> None:
    """The deadline is left out: it is the desk's to correct."""
    nowhere = DEADLINES.model_copy(update={"timezone": "Nowhere/Atlantis"})
    told = build_report(build_unlocked(), manifest=MANIFEST.model_copy(update={"deadlines": nowhere}))
    assert "| Due |" not in build_visible_part(told)
    assert "| Points |" in build_visible_part(told)


def test_what_comes_next_follows_from_the_furthest_that_was_passed() -> None:
    """The portfolio after the last milestone, a module's milestone, the next module; with a failure, the failure."""
    last = build_unlocked(milestone=5, name="Language Generation")
    assert "Type `tito portfolio`." in build_visible_part(build_report(last, manifest=MANIFEST))
    module = build_unlocked(milestone=None, module="04_layers", name="Layers", medal=None)
    assert "Unlock milestone 1, Basic Inference. Type `tito milestone test 1`." in build_visible_part(
        build_report(module, manifest=MANIFEST)
    )
    later = build_unlocked(milestone=None, module="05_dense", name="Dense", medal=None)
    assert "Type `tito module start 06_spatial`." in build_visible_part(
        build_report(later, build_unlocked(), module, manifest=MANIFEST)
    )
    both = build_visible_part(build_report(build_unlocked(), build_failing(), manifest=MANIFEST))
    assert "### Next" not in both
    assert "### Fix this first" in both


def test_what_the_grader_did_wrong_is_not_put_on_the_student() -> None:
    """A missing result is reported as the grader's problem; the headline claims nothing for it."""
    told = build_report(problems=("milestone-2: nothing was handed over.",))
    assert build_report_headline(told) == "could not be graded"
    assert "not with your code" in build_visible_part(told)
    assert "milestone-2: nothing was handed over" in build_visible_part(told)
    assert "Not yet" not in build_visible_part(told)
    assert (
        build_report_headline(build_report(build_unlocked(), problems=("milestone-2: nothing was handed over.",)))
        == "1 of 1 passed"
    )


def test_what_was_not_run_again_is_named_with_its_date() -> None:
    """A reused record is in the table, and modules that nobody has started are named below it."""
    told = build_report(reused=(build_reused("milestone-1", "Basic Inference"),), skipped=("module-05_dense",))
    assert "**Milestone 1: Basic Inference** | Unlocked on 2026-02-01 09:00 UTC" in build_visible_part(told)
    assert "Not begun: `module-05_dense`" in build_visible_part(told)
    assert build_report_headline(told) == "nothing has changed"


def test_a_report_says_what_it_counts_for() -> None:
    """Feedback, an official run, and a fork's own workflow are distinguished."""
    assert "feedback" in build_visible_part(build_report(build_unlocked(official=False)))
    assert "official grading" in build_visible_part(build_report(build_unlocked(official=True)))
    forked = build_visible_part(build_report(build_unlocked(official=True), from_fork=True))
    assert "feedback" in forked
    assert "fork's own" in forked


def build_state(**sessions: SessionState) -> ReportState:
    """Build the state of an earlier report."""
    named = {name.replace("_", "-", 1): standing for name, standing in sessions.items()}
    return ReportState(run=1, attempt=1, commit="b" * 40, sessions=named)


def test_what_changed_since_the_last_run_is_told() -> None:
    """Verdicts, criteria that are met now or no longer, and figures that moved."""
    before = build_state(
        milestone_1=SessionState(verdict="not_yet", criteria={"loss": CriterionState(passed=False, measured=0.31)}),
        module_02_tensor=SessionState(
            verdict="unlocked", criteria={"module-tests": CriterionState(passed=True, measured=1.0)}
        ),
    )
    text = build_visible_part(build_report(build_unlocked(), build_failing(), previous=before))
    assert "### Since `bbbbbbb`" in text
    met = "now met: The loss after training is small (0.31 → 0.042)"
    assert f"- **Milestone 1: Basic Inference**: not yet → unlocked; {met}\n" in text + "\n"
    lost = "no longer met: The tests of modules 01 to 04 pass (100% → 90%)"
    assert f"- **Module 02\\_tensor: Tensors**: passed → not yet; {lost}\n" in text + "\n"
    half = {"module-tests": CriterionState(passed=False, measured=0.5)}
    moved = build_state(module_02_tensor=SessionState(verdict="not_yet", criteria=half))
    assert "(50% → 90%), required ≥ 100%" in build_visible_part(build_report(build_failing(), previous=moved))


def test_the_same_again_says_so() -> None:
    """A second report on the same figures says that nothing has changed."""
    first = build_comment(build_report(build_unlocked(), build_failing()))
    assert "Nothing has changed." in build_visible_part(
        build_report(build_unlocked(), build_failing(), previous=decode_report_state(first))
    )


def test_the_state_carries_what_was_not_graded_this_time() -> None:
    """A session that a run leaves out is compared with its last report, however long ago."""
    first = build_comment(build_report(build_unlocked(), build_failing()))
    second = build_comment(build_report(build_failing(), previous=decode_report_state(first)))
    assert decode_report_state(second).sessions["milestone-1"].verdict == "unlocked"


def test_an_error_does_not_replace_what_was_known() -> None:
    """A run that could not measure leaves the last figures to compare with."""
    first = build_comment(build_report(build_unlocked()))
    broken = build_unlocked(criteria=(build_criterion("error", None),), verdict=Verdict.ERROR)
    assert (
        decode_report_state(build_comment(build_report(broken, previous=decode_report_state(first))))
        .sessions["milestone-1"]
        .verdict
        == "unlocked"
    )


FORGED = "<!-- tinytorch:state eyJ2ZXJzaW9uIjoxfQ== -->"


@pytest.mark.parametrize(
    "text",
    [
        LIVE,
        MARKER,
        FORGED,
        "</details></summary><script>alert(1)</script>",
        "```\n</details>\n```\n@everyone",
        "\n::error file=a::b\n##[group]x",
        "](https://e.org) [x",
        "[r]: https://e.org\n[r]",
        "| a | b |\n| - | - |",
        "&#64;everyone &commat;everyone",
        "<!-- ",
        "-->",
        "$$x$$ $`x`$",
        "~~a~~ *b* __c__",
        "\u202e@everyone\u200b",
        "> [!NOTE]\n> x",
        "user@e.org GH-1 a/b#1",
        "\x1b]8;;https://e.org\x07x",
        "&lt;img src=x&gt;",
        "\\",
        "`",
        "``` `` `",
        "<",
        "1. a\n2. b",
        "    code",
    ],
)
def test_no_text_of_a_student_is_live(text: str) -> None:
    """HTML, links, mentions, references, markup, folds, markers and workflow commands are all text."""
    told = build_report(
        build_hostile(text), build_unlocked(), problems=(text,), skipped=(text,), previous=build_state()
    )
    body = build_comment(told)
    assert_harmless(body)
    assert_harmless(build_run_summary(told))
    assert len(decode_report_state(body).sessions) == 2


PIECES = [*"@#<>[]()!`*_~|\\\n&$:/-=+.1a ", "```", "</details>", "www.", "http://", MARKER, "-->", "::error::"]
MARKUP = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(MARKUP, MARKUP, st.integers(1, 30))
def test_any_text_is_bounded_and_harmless(one: str, other: str, times: int) -> None:
    """Whatever a record says, however often: short enough, closed, and nothing in it alive."""
    big = build_hostile(other).model_copy(update={"student_output": one * 1000})
    failed = build_criterion(
        "failed", 0.5, title=one, failures=(build_failure(title=one, got=other * times, hint=one),) * times
    )
    many = build_failing(criteria=(failed,) * times, name=other)
    told = build_report(
        build_hostile(one), big, many, build_unlocked(), problems=(one, other) * times, skipped=(one,) * times
    )
    body = build_comment(told)
    assert len(body) <= MAX_CHARACTERS
    assert_harmless(body)
    assert decode_report_state(body) is not None


def test_forty_of_the_worst_reports_fit() -> None:
    """The verdicts of all of them are in the table; each has its fold as far as there is room."""
    worst = [build_hostile(LIVE * 99).model_copy(update={"module": f"{n:02}_x"}) for n in range(40)]
    body = build_comment(
        build_report(*worst, problems=(LIVE * 99,) * 99, reused=(build_reused("module-01_setup", LIVE * 9),) * 40)
    )
    assert len(body) <= MAX_CHARACTERS
    assert body.count("| Not yet |") == 40
    assert_harmless(body)


def test_five_megabytes_of_hostile_output_take_less_than_two_seconds() -> None:
    """As one output, and spread over everything that is shown."""
    flood = (LIVE + "\x1b[31m`" * 9 + "\u202e" * 50 + "\n") * 26_000
    assert len(flood) > 5_000_000
    part = flood[: 5_000_000 // 60]
    spread = build_hostile(part).model_copy(update={"criteria": (build_criterion("failed", 0.1, title=part),) * 50})
    for record in (build_unlocked(student_output=flood), build_hostile(flood), spread, build_hostile_result()):
        started = time.process_time()  # a busy machine is slow, not wrong
        body = build_comment(build_report(set_commit(record)))
        assert time.process_time() - started < 2
        assert len(body) <= MAX_CHARACTERS
        assert_harmless(body)


def test_hostile_figures_are_figures() -> None:
    """NaN, infinities and enormous numbers neither break the comment nor its state."""
    figures = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 0.0, None)
    criteria = tuple(build_loss_criterion("failed", value, name=f"c{n}") for n, value in enumerate(figures))
    told = build_report(build_failing(criteria=criteria))
    assert (
        decode_report_state(build_comment(replace(told, previous=decode_report_state(build_comment(told))))) is not None
    )
