"""The `progress` that module tests hand to a recipe takes a report as the grader's own does: by position or by name."""

from __future__ import annotations

import pytest

from grading.testing import Reports, ignore_reports
from grading.testing.expect import Mismatch


def reports() -> Reports:
    """Collect the reports of a recipe for XOR."""
    return Reports("step", "steps", "loss")


def test_a_report_by_position_by_name_or_both_is_the_same():
    """`progress(1, 50, 0.5)` and `progress(loss=0.5, steps=50, step=1)` say one thing."""
    told = reports()
    told(1, 50, 0.5)
    told(loss=0.5, steps=50, step=1)
    told(1, 50, loss=0.5)
    assert told.calls == [{"step": 1, "steps": 50, "loss": 0.5}] * 3
    told.check_types(int, int, float)


@pytest.mark.parametrize(
    ("values", "named", "words"),
    [
        ((1, 50), {}, "step=1 (int), steps=50 (int)"),
        ((1, 50), {"cost": 0.5}, "cost=0.5 (float)"),
        ((1, 50, 0.5, 0.9), {}, "value 4=0.9 (float)"),
        ((1.0, 50, 0.5), {}, "step=1.0 (float)"),
    ],
)
def test_what_is_told_wrongly_is_shown_as_the_student_told_it(values, named, words):
    """The failure names each value, its name and its type, and not a function of the test."""
    told = reports()
    told(*values, **named)
    with pytest.raises(Mismatch) as raised:
        told.check_types(int, int, float)
    assert words in raised.value.got
    assert raised.value.expected == "step: int, steps: int, loss: float"


def test_no_report_at_all_is_a_failure():
    """Not an error of the test."""
    with pytest.raises(Mismatch, match="no calls"):
        reports().check_types(int, int, float)


def test_reports_may_be_ignored():
    """In every form."""
    assert ignore_reports(1, 50, loss=0.5) is None
