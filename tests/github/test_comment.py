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

from grading.github.comment import LIMIT, MARKER, Report, Run, comment, front, headline, summary
from grading.github.state import Criterion, Standing, State, read
from grading.manifest.model import Kind, Unit
from grading.result import CourseRecord, Curve, Note, Result, SubmissionRecord, Verdict
from tests.desk.test_deadlines import DEADLINES
from tests.github.runs import COMMIT, MANIFEST, made_for, reused
from tests.render.results import criterion, failure, loss, not_yet, result
from tests.render.test_documents import LIVE
from tests.render.test_terminal import hostile_result


def unlocked(**changes: Any) -> Result:
    """Build milestone 1, unlocked by two criteria."""
    return made_for(result(**changes))


def failing(**changes: Any) -> Result:
    """Build a result of module 02 that is not yet passed."""
    fields = {"milestone": None, "module": "02_tensor", "name": "Tensors", "medal": None}
    return made_for(not_yet(**{**fields, "reproduce": "nox -s module-02_tensor -- --seed 42", **changes}))


RUN = Run(12, 1, "https://github.com/class/alice/actions/runs/12")
OWN_HTML = re.compile(
    r"<br>|</?sub>|</details>|<details><summary>[^<>]*</summary>|<!-- tinytorch:(report|state \S+) -->"
)
ALIVE = re.compile(r"(@|#|://|\bwww\.|\bGH-)\w", re.IGNORECASE)
COMMAND = re.compile(r"^\s*(::[A-Za-z][\w-]*([ \t].*)?::|##\[)", re.MULTILINE)


def report(*results: Result, **changes: Any) -> Report:
    """Build a report of these results."""
    return Report(results, COMMIT, RUN, **changes)


def hostile(text: str) -> Result:
    """Build a record with this text wherever text is possible."""
    bad = failure(
        task=text, title=text, call=text, got=text, expected=text, hint=text, file=text, detail=text, test=text
    )
    return made_for(
        failing(
            name=text,
            reproduce=text,
            criteria=(
                criterion("failed", 0.1, title=text, explanation=text, how=text, failures=(bad, bad)),
                loss("error", None, explanation=text, title=text),
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
    text = comment(report(unlocked(), failing()))
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
        "The instructor's own run, with other seeds, is what counts",
    ):
        assert part in shown
    assert shown.count("Task 2.3") == text.count("Task 2.3") == 1


def test_each_criterion_has_its_figure_threshold_and_bar() -> None:
    """Folded: a table of criteria, the curve, and how and where it was measured."""
    text = comment(report(unlocked(criteria=(criterion("failed", 0.9), loss(how="5 seeds")), verdict=Verdict.NOT_YET)))
    for part in ("| 90% | ≥ 100% | █████████░ |", "| 0.042 | ≤ 0.05 | ██████████ |", "█▄▁", "- 5 seeds", "sandbox"):
        assert part in text.partition("<details>")[2]


DUE_COURSE = MANIFEST.model_copy(update={"deadlines": DEADLINES})
"""The course with a deadline for milestone 1: 2026-10-23 23:59 in Berlin, three days of a tenth each."""


def passed() -> Report:
    """Build a report of milestone 1, unlocked a day after it was due."""
    accuracy = loss(name="accuracy", title="The worst network is right", measured=0.973, threshold=0.95)
    accuracy = accuracy.model_copy(update={"comparison": "at_least", "unit": Unit.FRACTION})
    made = unlocked(criteria=(criterion(), loss(), accuracy), started_at=datetime(2026, 10, 24, 9, tzinfo=UTC))
    return report(made, manifest=DUE_COURSE)


def stopped() -> Report:
    """Build a report of milestone 1 with failed module tests, so that nine criteria were not attempted."""
    later = "Not attempted: fix the module tests first."
    kinds = [Kind.PERFORMANCE] * 6 + [Kind.RELIABILITY] * 3
    nine = [loss("not_attempted", None, kind=kind, name=f"c{n}", explanation=later) for n, kind in enumerate(kinds)]
    quiz = criterion("failed", 0.5, kind=Kind.UNDERSTANDING, name="quiz", title="The questions are answered")
    criteria = (criterion("failed", 0.9, failures=(failure(),)), *nine, quiz)
    return report(made_for(not_yet(criteria=criteria)), manifest=DUE_COURSE)


@pytest.mark.parametrize(("name", "told"), [("passed", passed()), ("stopped", stopped())])
def test_the_whole_report_reads_as_it_should(name: str, told: Report) -> None:
    """A pass with points, lateness, margins, curve and the next step; and nine criteria that nobody attempted."""
    assert summary(told) == Path(__file__).with_name(f"report_{name}.md").read_text("utf-8")


def test_an_unknown_time_zone_stops_no_report() -> None:
    """The deadline is left out: it is the desk's to correct."""
    nowhere = DEADLINES.model_copy(update={"timezone": "Nowhere/Atlantis"})
    told = report(unlocked(), manifest=MANIFEST.model_copy(update={"deadlines": nowhere}))
    assert "| Due |" not in front(told)
    assert "| Points |" in front(told)


def test_what_comes_next_follows_from_the_furthest_that_was_passed() -> None:
    """The portfolio after the last milestone, a module's milestone, the next module; with a failure, the failure."""
    last = unlocked(milestone=5, name="Language Generation")
    assert "Type `tito portfolio`." in front(report(last, manifest=MANIFEST))
    module = unlocked(milestone=None, module="04_layers", name="Layers", medal=None)
    assert "Unlock milestone 1, Basic Inference. Type `tito milestone test 1`." in front(
        report(module, manifest=MANIFEST)
    )
    later = unlocked(milestone=None, module="05_dense", name="Dense", medal=None)
    assert "Type `tito module start 06_spatial`." in front(report(later, unlocked(), module, manifest=MANIFEST))
    both = front(report(unlocked(), failing(), manifest=MANIFEST))
    assert "### Next" not in both
    assert "### Fix this first" in both


def test_what_the_grader_did_wrong_is_not_put_on_the_student() -> None:
    """A missing result is reported as the grader's problem; the headline claims nothing for it."""
    told = report(problems=("milestone-2: nothing was handed over.",))
    assert headline(told) == "could not be graded"
    assert "not your code's" in front(told)
    assert "milestone-2: nothing was handed over" in front(told)
    assert "Not yet" not in front(told)
    assert headline(report(unlocked(), problems=("milestone-2: nothing was handed over.",))) == "1 of 1 passed"


def test_what_was_not_run_again_is_named_with_its_date() -> None:
    """A reused record is in the table, and modules that nobody has started are named below it."""
    told = report(reused=(reused("milestone-1", "Basic Inference"),), skipped=("module-05_dense",))
    assert "**Milestone 1: Basic Inference** | Unlocked on 2026-02-01 09:00 UTC" in front(told)
    assert "Not begun: `module-05_dense`" in front(told)
    assert headline(told) == "nothing has changed"


def test_a_report_says_what_it_counts_for() -> None:
    """Feedback, an official run, and a fork's own workflow are distinguished."""
    assert "feedback" in front(report(unlocked(official=False)))
    assert "official grading" in front(report(unlocked(official=True)))
    forked = front(report(unlocked(official=True), from_fork=True))
    assert "feedback" in forked
    assert "fork's own" in forked


def previous(**sessions: Standing) -> State:
    """Build the state of an earlier report."""
    named = {name.replace("_", "-", 1): standing for name, standing in sessions.items()}
    return State(run=1, attempt=1, commit="b" * 40, sessions=named)


def test_what_changed_since_the_last_run_is_told() -> None:
    """Verdicts, criteria that are met now or no longer, and figures that moved."""
    before = previous(
        milestone_1=Standing(verdict="not_yet", criteria={"loss": Criterion(passed=False, measured=0.31)}),
        module_02_tensor=Standing(verdict="unlocked", criteria={"module-tests": Criterion(passed=True, measured=1.0)}),
    )
    text = front(report(unlocked(), failing(), previous=before))
    assert "### Since `bbbbbbb`" in text
    met = "now met: The loss after training is small (0.31 → 0.042)"
    assert f"- **Milestone 1: Basic Inference**: not yet → unlocked; {met}\n" in text + "\n"
    lost = "no longer met: The tests of modules 01 to 04 pass (100% → 90%)"
    assert f"- **Module 02\\_tensor: Tensors**: passed → not yet; {lost}\n" in text + "\n"
    half = {"module-tests": Criterion(passed=False, measured=0.5)}
    moved = previous(module_02_tensor=Standing(verdict="not_yet", criteria=half))
    assert "(50% → 90%), required ≥ 100%" in front(report(failing(), previous=moved))


def test_the_same_again_says_so() -> None:
    """A second report on the same figures says that nothing has changed."""
    first = comment(report(unlocked(), failing()))
    assert "Nothing has changed." in front(report(unlocked(), failing(), previous=read(first)))


def test_the_state_carries_what_was_not_graded_this_time() -> None:
    """A session that a run leaves out is compared with its last report, however long ago."""
    first = comment(report(unlocked(), failing()))
    second = comment(report(failing(), previous=read(first)))
    assert read(second).sessions["milestone-1"].verdict == "unlocked"


def test_an_error_does_not_replace_what_was_known() -> None:
    """A run that could not measure leaves the last figures to compare with."""
    first = comment(report(unlocked()))
    broken = unlocked(criteria=(criterion("error", None),), verdict=Verdict.ERROR)
    assert read(comment(report(broken, previous=read(first)))).sessions["milestone-1"].verdict == "unlocked"


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
    told = report(hostile(text), unlocked(), problems=(text,), skipped=(text,), previous=previous())
    body = comment(told)
    assert_harmless(body)
    assert_harmless(summary(told))
    assert len(read(body).sessions) == 2


PIECES = [*"@#<>[]()!`*_~|\\\n&$:/-=+.1a ", "```", "</details>", "www.", "http://", MARKER, "-->", "::error::"]
MARKUP = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(MARKUP, MARKUP, st.integers(1, 30))
def test_any_text_is_bounded_and_harmless(one: str, other: str, times: int) -> None:
    """Whatever a record says, however often: short enough, closed, and nothing in it alive."""
    big = hostile(other).model_copy(update={"student_output": one * 1000})
    failed = criterion("failed", 0.5, title=one, failures=(failure(title=one, got=other * times, hint=one),) * times)
    many = failing(criteria=(failed,) * times, name=other)
    told = report(hostile(one), big, many, unlocked(), problems=(one, other) * times, skipped=(one,) * times)
    body = comment(told)
    assert len(body) <= LIMIT
    assert_harmless(body)
    assert read(body) is not None


def test_forty_of_the_worst_reports_fit() -> None:
    """The verdicts of all of them are in the table; each has its fold as far as there is room."""
    worst = [hostile(LIVE * 99).model_copy(update={"module": f"{n:02}_x"}) for n in range(40)]
    body = comment(report(*worst, problems=(LIVE * 99,) * 99, reused=(reused("module-01_setup", LIVE * 9),) * 40))
    assert len(body) <= LIMIT
    assert body.count("| Not yet |") == 40
    assert_harmless(body)


def test_five_megabytes_of_hostile_output_take_less_than_two_seconds() -> None:
    """As one output, and spread over everything that is shown."""
    flood = (LIVE + "\x1b[31m`" * 9 + "\u202e" * 50 + "\n") * 26_000
    assert len(flood) > 5_000_000
    part = flood[: 5_000_000 // 60]
    spread = hostile(part).model_copy(update={"criteria": (criterion("failed", 0.1, title=part),) * 50})
    for record in (unlocked(student_output=flood), hostile(flood), spread, hostile_result()):
        started = time.process_time()  # a busy machine is slow, not wrong
        body = comment(report(made_for(record)))
        assert time.process_time() - started < 2
        assert len(body) <= LIMIT
        assert_harmless(body)


def test_hostile_figures_are_figures() -> None:
    """NaN, infinities and enormous numbers neither break the comment nor its state."""
    figures = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 0.0, None)
    criteria = tuple(loss("failed", value, name=f"c{n}") for n, value in enumerate(figures))
    told = report(failing(criteria=criteria))
    assert read(comment(replace(told, previous=read(comment(told))))) is not None
