"""Build a student's own questions. The student's id determines the parameters and the order of the options."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import string
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from grading.manifest.model import ChoiceQuestion, Milestone, NumberQuestion

VARIANT_COUNT = 64
ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined)


@dataclass(frozen=True)
class StudentQuestion:
    """One question as one student sees it."""

    question_id: str
    kind: Literal["number", "choice"]
    prompt: str
    """The prompt in Markdown."""
    read: str
    """The part of the lesson to read after a wrong answer."""
    options: dict[str, str] = field(default_factory=dict)
    """The options' texts, keyed by letter. The mapping is empty for a number question."""
    digits: int = 0
    """The number of required decimals, which is 0 for a choice question."""


def build_student_questions(milestone: Milestone, student_id: str) -> tuple[StudentQuestion, ...]:
    """Build the milestone's questions with this student's own parameters and order of options."""
    return tuple(_build_student_question(question, student_id) for question in milestone.questions)


def _build_student_question(question: NumberQuestion | ChoiceQuestion, student_id: str) -> StudentQuestion:
    """Build one question with this student's own parameters or order of options."""
    if isinstance(question, ChoiceQuestion):
        options = order_student_options(question, student_id)
        return StudentQuestion(question.id, "choice", question.prompt.strip(), question.read, options=options)
    parameters = choose_parameters(question, choose_student_variant(question, student_id))
    prompt = ENVIRONMENT.from_string(question.prompt).render(parameters).strip()
    return StudentQuestion(question.id, "number", prompt, question.read, digits=question.digits)


def choose_parameters(question: NumberQuestion, variant: int) -> dict[str, int | float]:
    """Return the parameters of one of the question's 64 variants, which are always the same for the same question.

    They all differ if there are enough combinations. Otherwise, they repeat in the same order.
    """
    names, values = list(question.parameters), [list(dict.fromkeys(v)) for v in question.parameters.values()]
    ranks = _draw_ranks(json.dumps([question.id, names, values]), math.prod(map(len, values)))
    return _get_combination_by_rank(names, values, ranks[variant % len(ranks)])


@lru_cache(maxsize=64)
def _draw_ranks(seed: str, count: int) -> tuple[int, ...]:
    """Draw 64 different numbers below ``count``, or all of them if it is smaller. The seed determines the order."""
    drawn: dict[int, None] = {}
    for draw in itertools.count():
        drawn[_hash_to_int(f"{seed}{draw}") % count] = None
        if len(drawn) == min(VARIANT_COUNT, count):
            return tuple(drawn)
    raise AssertionError  # unreachable: every number is drawn in the end


def choose_student_variant(question: NumberQuestion, student_id: str) -> int:
    """Return the number, from 0 to 63, of the variant that this student gets."""
    return _hash_to_int(f"{student_id.lower()}\0{question.id}") % VARIANT_COUNT


def order_student_options(question: ChoiceQuestion, student_id: str) -> dict[str, str]:
    """Return the options in this student's order, lettered a, b, c …. The course and a release agree on the order."""
    options = question.options or question.right + question.wrong
    shuffled = sorted(options, key=lambda text: _hash_to_int(f"{student_id.lower()}\0{question.id}\0{text}"))
    return dict(zip(string.ascii_lowercase, shuffled, strict=False))


def _get_combination_by_rank(names: list[str], values: list[list[int | float]], rank: int) -> dict[str, int | float]:
    """Return the combination with this rank. The rank's digits in mixed bases select the values."""
    chosen = {}
    for name, choices in zip(names, values, strict=True):
        rank, place = divmod(rank, len(choices))
        chosen[name] = choices[place]
    return chosen


def _hash_to_int(text: str) -> int:
    """Hash a text to a uniformly distributed integer.

    Unlike the result of `hash`, it is the same on every machine and in every version of Python.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest())
