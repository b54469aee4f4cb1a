"""A small milestone with one question of every kind, in clear and sealed."""

from __future__ import annotations

import pytest

from grading.manifest.loader import load_manifest
from grading.manifest.model import ChoiceQuestion, Milestone, NumberQuestion
from grading.quiz.sealing import seal_question

NUMBER = NumberQuestion(
    kind="number",
    id="area",
    prompt="How large is {{ a }} × {{ b }}?",
    read="the lesson on areas",
    parameters={"a": (1, 2, 3, 5, 7, 11, 13, 17), "b": (0.5, 2, 4, 8, 16, 32, 64, 128)},
    digits=1,
    answer="a * b",
)
CHOICE = ChoiceQuestion(
    kind="choice",
    id="primes",
    prompt="Which are prime?",
    read="the lesson on primes",
    right=("two", "three"),
    wrong=("four", "six", "nine"),
)


@pytest.fixture(scope="session")
def milestone(root) -> Milestone:
    """Return milestone 1 with these two questions and clear keys."""
    return load_manifest(root).milestone(1).model_copy(update={"questions": (NUMBER, CHOICE)})


@pytest.fixture(scope="session")
def sealed(milestone) -> Milestone:
    """Return milestone 1 with sealed keys, as in a release."""
    return milestone.model_copy(update={"questions": tuple(map(seal_question, milestone.questions))})
