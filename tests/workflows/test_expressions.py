"""The expressions in these tests mean what GitHub's documentation says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workflows.expressions import (
    Context,
    UnmodelledSyntaxError,
    evaluate_condition,
    evaluate_expression,
    interpolate_value,
)

CONTEXTS: dict[str, Any] = {
    "github": Context("github", {"ref": "refs/heads/main", "event": {"repository": {"private": False}}}),
    "matrix": {"minutes": 20},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'it''s'", "it's"),
        ("github.ref == 'REFS/heads/MAIN'", True),
        ("github.event.pull_request.head.sha || github.ref", "refs/heads/main"),
        ("github.event.pull_request.number == 0", True),
        ("github.event.missing == ''", True),
        ("null == 'x'", False),
        ("'2' == 2", True),
        ("'a' == true", False),
        ("!github.event.repository.private && 'yes'", "yes"),
        ("format('refs/heads/{0}', github.event.repository.default_branch)", "refs/heads/"),
        ("fromJSON('{\"include\": [1]}')", {"include": [1]}),
        ("(1 == 2 || false) != true", True),
        ("true && 0", 0),
    ],
)
def test_an_expression_has_its_value(text, value):
    """Checked are comparison, precedence, and the value of && and ||, which need not be a Boolean."""
    assert evaluate_expression(text, CONTEXTS) == value


@pytest.mark.parametrize(
    "text", ["secrets.KEY", "github.token", "hashFiles('x')", "1 +", "a.*", "'open", "(1", "1 2", ""]
)
def test_what_is_not_modelled_is_an_error(text):
    """An unknown context, key, function or symbol gives an error, not an empty text."""
    with pytest.raises(UnmodelledSyntaxError):
        evaluate_expression(text, CONTEXTS)


def test_an_expression_that_is_a_whole_value_keeps_its_type():
    """A number of minutes is a number; within a text it is text."""
    assert interpolate_value("${{ matrix.minutes }}", CONTEXTS) == 20
    assert interpolate_value("for ${{ matrix.minutes }} minutes on ${{ github.ref }}", CONTEXTS).startswith(
        "for 20 minutes on"
    )
    assert interpolate_value(True, CONTEXTS) is True


@pytest.mark.parametrize(
    ("text", "succeeded", "cancelled", "runs"),
    [
        ("true", True, False, True),
        ("true", False, False, False),
        ("true", True, True, False),
        ("${{ !cancelled() }}", False, False, True),
        ("${{ !cancelled() && false }}", True, False, False),
        ("${{ !cancelled() }}", True, True, False),
    ],
)
def test_a_condition_is_about_what_came_before_unless_it_says_otherwise(text, succeeded, cancelled, runs):
    """Without cancelled(), a failed earlier step makes the condition false."""
    assert evaluate_condition(text, CONTEXTS, succeeded=succeeded, cancelled=cancelled) is runs
