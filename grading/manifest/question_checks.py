"""Check that every number question can be asked and answered, whatever the parameters. Only this check needs Jinja."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from grading.manifest.loader import add_lines_to_findings, read_manifest_source
from grading.manifest.model import Manifest, NumberQuestion
from grading.manifest.problems import Finding, Problem
from grading.manifest.problems import KeyPath as Where

MIN_COMBINATIONS = 64
"""The number of combinations of parameters that a question needs, so that students are unlikely to share an answer."""
MAX_TRIED = 2000
"""The maximum number of combinations that are tried. If there are more, this many are chosen at random."""


def find_question_problems(manifest: Manifest, root: Path) -> tuple[Problem, ...]:
    """Return a problem for each number question with too few parameter values, a bad prompt or an unusable answer."""
    return tuple(add_lines_to_findings(read_manifest_source(root), _find_broken_questions(manifest)))


def _find_broken_questions(manifest: Manifest) -> Iterator[Finding]:
    """Yield the problems with the number questions of all milestones."""
    for index, milestone in enumerate(manifest.milestones):
        for place, question in enumerate(milestone.questions):
            if isinstance(question, NumberQuestion):
                yield from _check_number_question(question, ("milestones", index, "questions", place))


def _check_number_question(question: NumberQuestion, where: Where) -> Iterator[Finding]:
    """Yield the problems with one number question."""
    count = math.prod(len(set(values)) for values in question.parameters.values())
    if count < MIN_COMBINATIONS:
        message = f"question {question.id} has only {count} combinations of parameters."
        yield Finding((*where, "parameters"), message, f"Add values until there are {MIN_COMBINATIONS} or more.")
    environment, names = SandboxedEnvironment(undefined=StrictUndefined), ", ".join(question.parameters)
    combinations = list(_draw_combinations(question, count))
    parameters: dict = {}
    try:
        template = environment.from_string(question.prompt)
        for parameters in combinations:
            template.render(parameters)
    except TemplateError as error:
        message = f"the prompt of question {question.id} cannot be rendered: {error}."
        yield Finding((*where, "prompt"), message, f"Fix the template; its parameters are {names}.")
    if question.answer is None:
        return
    try:
        expression = environment.compile_expression(question.answer, undefined_to_none=False)
        for parameters in combinations:
            if problem := _find_answer_problem(expression(**parameters), question.digits):
                key, what, repair = problem
                yield Finding((*where, key), f"the answer of question {question.id} {what} for {parameters}.", repair)
                return
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        message = f"the answer of question {question.id} cannot be computed for {parameters}: {error}."
        yield Finding((*where, "answer"), message, f"Fix the expression; its parameters are {names}.")


def _find_answer_problem(answer: object, digits: int) -> tuple[str, str, str] | None:
    """If a value is not a valid answer, return the key to fix, what is wrong, and how to fix it."""
    if isinstance(answer, bool) or not isinstance(answer, int | float) or not math.isfinite(answer):
        return "answer", f"is {answer!r}", "It must be a finite number for all parameters."
    if abs(answer * 10**digits % 1 - 0.5) < 1e-6:
        return "digits", f"is {answer!r}, between two roundings,", "Ask for one more decimal, or use other values."
    return None


def _draw_combinations(question: NumberQuestion, count: int) -> Iterator[dict[str, int | float]]:
    """Yield every combination of the parameters, or a random sample if there are too many."""
    names, values = question.parameters.keys(), question.parameters.values()
    if count <= MAX_TRIED:
        yield from (dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values))
        return
    rng = random.Random(question.id)  # noqa: S311 (a sample for a test, the same every time)
    for _ in range(MAX_TRIED):
        yield {name: rng.choice(choices) for name, choices in zip(names, values, strict=True)}
