"""The keys of milestone 4's number questions are what the course's own modules 12 and 13 compute."""

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from grading.manifest.load import load
from grading.manifest.model import NumberQuestion
from grading.quiz.questions import ENVIRONMENT

ROOT = Path(__file__).parents[2]
QUESTIONS = {question.id: question for question in load(ROOT).milestone(4).questions}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The course's own framework: nothing of it is left imported afterwards."""
    for module in load(ROOT).modules:
        monkeypatch.syspath_prepend(ROOT / module.folder)
    for name in ("compression", "kernels"):
        importlib.import_module(f"tinytorch.{name}")
    yield sys.modules["tinytorch"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinytorch"]:
        del sys.modules[name]


def cases(question_id: str) -> Iterator[tuple[dict, float]]:
    """Every combination of a question's parameters, with its answer."""
    question = QUESTIONS[question_id]
    assert isinstance(question, NumberQuestion)
    assert question.answer is not None
    answer = ENVIRONMENT.compile_expression(question.answer)
    for chosen in itertools.product(*question.parameters.values()):
        parameters = dict(zip(question.parameters, chosen, strict=True))
        yield parameters, answer(**parameters)


def test_a_value_becomes_the_integer_that_quantize_gives(own: ModuleType):
    """Scale and zero point of the range that the prompt shows turn the value that it shows into the key."""
    for numbers, key in cases("quantised_by_hand"):
        below, step, place = numbers.values()
        shown = [round(steps * step, 3) for steps in (-below, 254 - below, place + 0.2)]
        scale = own.compression.choose_scale(*shown[:2])
        assert own.compression.quantize(np.array(shown[2:]), *scale) == [key], numbers


def test_the_cache_holds_the_rows_that_row_blocks_takes(own: ModuleType, monkeypatch: pytest.MonkeyPatch):
    """There are as many blocks as `row_blocks` returns for the bytes of one output row's columns."""
    for numbers, key in cases("blocks_of_rows"):
        n, channels, size, cache = numbers.values()
        monkeypatch.setattr(own.kernels, "CACHE", cache * 1024)
        assert len(own.kernels.row_blocks(size, 3 * 3 * channels * size * n * np.float32().nbytes)) == key, numbers


def test_one_product_more_is_not_exact_any_more():
    """K products are at most the largest integer that all smaller ones share; K + 1 can give an odd sum above it."""
    for numbers, key in cases("exact_products"):
        digits, weight, largest = numbers.values()
        excess = weight * largest * (key + 1) - 2**digits
        assert weight * largest * key <= 2**digits
        assert (key + 1) % 2 == 1 or excess > min(weight, largest), numbers
