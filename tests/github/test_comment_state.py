"""What a comment keeps for the next report comes back as it was, or not at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.github.comment_state import (
    MAX_SESSIONS,
    MAX_STATE_CHARACTERS,
    CriterionState,
    ReportState,
    SessionState,
    decode_report_state,
    encode_report_state,
    merge_report_state,
    summarize_result_as_state,
)
from grading.result import Verdict
from tests.github.runs import COMMIT, build_unlocked
from tests.render.results import build_criterion, build_result

SESSIONS = st.sampled_from([f"milestone-{n}" for n in range(1, 6)] + [f"module-{n:02}_x" for n in range(1, 17)])
CRITERIA = st.builds(CriterionState, passed=st.booleans(), measured=st.none() | st.floats(-1e12, 1e12))
STANDINGS = st.builds(
    SessionState,
    verdict=st.sampled_from([v.value for v in Verdict]),
    criteria=st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True), CRITERIA, max_size=9),
)
STATES = st.builds(
    ReportState,
    run=st.integers(0, 2**63 - 1),
    attempt=st.integers(0, 99),
    commit=st.just(COMMIT),
    sessions=st.dictionaries(SESSIONS, STANDINGS, max_size=5),
)


def build_body(document: Any) -> str:
    """Build a comment with this state."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"text\n\n<!-- tinytorch:state {base64.b64encode(data).decode()} -->\n"


GOOD = {"version": 1, "run": 5, "attempt": 1, "commit": COMMIT, "sessions": {"milestone-1": {"verdict": "not_yet"}}}


@given(STATES, st.text(max_size=50))
def test_a_state_comes_back(state: ReportState, before: str) -> None:
    """Whatever stands before it, a state of before among it."""
    assert decode_report_state(f"{before}\n{build_body(GOOD)}\n{encode_report_state(state)}\n") == state


@given(st.binary(max_size=300) | st.text(max_size=99).map(str.encode))
def test_no_bytes_are_more_than_no_state(data: bytes) -> None:
    """Anything in the state's place is read as none."""
    assert decode_report_state(build_body(data)) is None
    assert decode_report_state("x\n<!-- tinytorch:state " + data.decode("latin-1") + " -->") is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"run": -1},
        {"run": 2**63},
        {"run": "5"},
        {"run": 5.0},
        {"attempt": None},
        {"commit": "abc"},
        {"commit": COMMIT + "\n"},
        {"commit": COMMIT.upper()},
        {"extra": 1},
        {"sessions": {"milestone-0": {"verdict": "not_yet"}}},
        {"sessions": {"milestone-1\n": {"verdict": "not_yet"}}},
        {"sessions": {"module-02_<b>": {"verdict": "not_yet"}}},
        {"sessions": {"milestone-1": {"verdict": "gold"}}},
        {"sessions": {"milestone-1": {"verdict": "not_yet", "criteria": {"@x": {"passed": True}}}}},
        {"sessions": {"milestone-1": {"verdict": "not_yet", "criteria": {"x": {"passed": 1}}}}},
        {"sessions": {"milestone-1": {"verdict": "not_yet", "criteria": {"x": {"passed": True, "measured": "1"}}}}},
        {"sessions": {"milestone-1": {"verdict": "not_yet", "criteria": {"x": {"passed": True, "measured": 1e999}}}}},
        {"sessions": {f"milestone-{n}": {"verdict": "not_yet"} for n in range(1, MAX_SESSIONS + 2)}},
    ],
)
def test_an_edited_state_is_none(change: dict[str, Any]) -> None:
    """Other types, names, sizes, keys and numbers: nothing is repaired and nothing is guessed."""
    assert decode_report_state(build_body(GOOD)) is not None
    assert decode_report_state(build_body({**GOOD, **change})) is None


def test_a_state_stands_at_the_end_only() -> None:
    """One that a student's text holds, further up or on the same line as something else, is text."""
    assert decode_report_state(build_body(GOOD) + "more") is None
    assert decode_report_state("> " + build_body(GOOD).strip().rpartition("\n")[2]) is None
    assert decode_report_state("") is None


def test_a_state_is_bounded() -> None:
    """Too many figures are left out, and the verdicts stay."""
    many = tuple(build_criterion("failed", 0.123456789, name=f"{'c' * 50}{n}") for n in range(200))
    names = [f"{n:02}_{'x' * 38}" for n in range(60)]
    results = tuple(build_result(*many, milestone=None, module=name, verdict=Verdict.NOT_YET) for name in names)
    text = encode_report_state(merge_report_state(results, None, run=1, attempt=1, commit=COMMIT))
    assert len(text) < MAX_STATE_CHARACTERS + 100
    assert len(decode_report_state("\n" + text).sessions) == MAX_SESSIONS


def test_names_and_figures_that_do_not_fit_are_left_out() -> None:
    """A criterion with an odd name, and a figure that is none."""
    odd = (
        build_criterion(name="@everyone"),
        build_criterion(name="nan", measured=float("nan")),
        build_criterion(name="ok"),
    )
    huge = (build_criterion(name="inf", measured=float("inf")),)
    kept = summarize_result_as_state(build_unlocked(criteria=odd + huge)).criteria
    assert kept == {"ok": CriterionState(passed=True, measured=1.0), "inf": CriterionState(passed=True, measured=None)}
