"""Figures are written by unit, and a missed threshold never reads as met."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.manifest.model import Unit
from grading.render import figure_text
from tests.render.results import build_criterion, build_loss_criterion


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.9731, Unit.FRACTION, "97.3%"),
        (1.0, Unit.FRACTION, "100%"),
        (0.0, Unit.FRACTION, "0%"),
        (0.04166, Unit.LOSS, "0.042"),
        (0.000012, Unit.LOSS, "1.2e-05"),
        (0.0, Unit.LOSS, "0"),
        (12.0, Unit.COUNT, "12"),
        (150_000.0, Unit.COUNT, "150,000"),
        (3.14159, Unit.RATIO, "3.14×"),
        (None, Unit.LOSS, "—"),
        (math.nan, Unit.LOSS, "—"),
        (math.inf, Unit.LOSS, "∞"),
    ],
)
def test_each_unit_has_its_own_form(value: float | None, unit: Unit, shown: str) -> None:
    """Fractions are per cent, losses have three decimals or an exponent, ratios a sign."""
    assert figure_text.format_figure(value, unit) == shown


def test_a_near_miss_shows_enough_decimals() -> None:
    """94.996% against 95% is not written 95%."""
    near = build_criterion("failed", 0.94996, threshold=0.95)
    assert (figure_text.format_measured(near), figure_text.format_threshold(near)) == ("94.996%", "≥ 95%")
    above = build_loss_criterion("failed", 0.05004)
    assert (figure_text.format_measured(above), figure_text.format_threshold(above)) == ("0.05004", "≤ 0.05")


@given(st.floats(0, 1), st.floats(0.01, 1))
def test_a_bar_is_full_only_when_the_threshold_is_met(value: float, threshold: float) -> None:
    """A full bar and a met threshold are the same thing, for both directions."""
    low = build_criterion("failed", value, threshold=threshold)
    high = build_loss_criterion("failed", value, threshold=threshold)
    assert (figure_text.draw_bar(figure_text.compute_closeness(low), 10) == "█" * 10) == (value >= threshold)
    assert (figure_text.draw_bar(figure_text.compute_closeness(high), 10) == "█" * 10) == (value <= threshold)


def test_a_sparkline_has_its_ends_and_gaps() -> None:
    """The first and the last value are among those drawn; what was not measured is a gap; a flat line stays low."""
    line = figure_text.draw_sparkline(tuple(float(i) for i in range(1000)), 10)
    assert (len(line), line[0], line[-1]) == (10, "▁", "█")
    assert figure_text.draw_sparkline((1.0, None, math.nan, 2.0), 9) == "▁  █"
    assert figure_text.draw_sparkline((3.0, 3.0), 9) == "▁▁"
    assert figure_text.draw_sparkline((None,), 9) == ""


@pytest.mark.parametrize(
    ("measured", "threshold", "comparison", "unit", "said", "share"),
    [
        (0.973, 0.95, "at_least", Unit.FRACTION, "2.3 points to spare", 0.46),
        (0.9, 0.95, "at_least", Unit.FRACTION, "5 points short", -0.05 / 0.95),
        (0.0296, 0.02, "at_most", Unit.FRACTION, "1 points over", -0.0096 / 0.98),
        (0.9499999, 0.95, "at_least", Unit.FRACTION, "under 0.1 points short", 0),
        (1.0, 1.0, "at_least", Unit.FRACTION, "", 0),
        (0.99, 1.0, "at_least", Unit.FRACTION, "1 points short", -0.01),
        (0.0, 0.0, "at_most", Unit.COUNT, "", 0),
        (3.0, 0.0, "at_most", Unit.COUNT, "3 over", -1),
        (12_000.0, 40_000.0, "at_most", Unit.COUNT, "70% to spare", 0.7),
        (0.06, 0.05, "at_most", Unit.LOSS, "20% over", -0.2),
        (2.25, 1.5, "at_least", Unit.RATIO, "50% to spare", 0.5),
        (9.0, 1.5, "at_least", Unit.RATIO, "500% to spare", 1),
        (1.5, 1.5, "at_least", Unit.RATIO, "exactly met", 0),
        (None, 1.5, "at_least", Unit.RATIO, "", 0),
        (math.inf, 1.5, "at_least", Unit.RATIO, "", 0),
    ],
)
def test_a_margin_says_how_much_is_to_spare_or_missing(measured, threshold, comparison, unit, said, share) -> None:
    """In points of a share, else in percent of the threshold; where nothing can be to spare, nothing is said."""
    one = build_criterion(measured=measured, threshold=threshold, comparison=comparison, unit=unit)
    assert figure_text.format_margin(one) == said
    assert figure_text.compute_margin_share(one) == pytest.approx(share, abs=1e-6)
