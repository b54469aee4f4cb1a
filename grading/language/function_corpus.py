"""Generate small Python functions from a run's seed, each with a signature, a docstring and one return statement.

A function of two numbers applies an operation and a continuation ("the larger of time and second, divided by 47"). A
function of a list applies an idiom and a condition ("how many numbers in prices are greater than limit"). Some
operations, continuations and conditions are made up: their words and meanings are drawn at random, so that only the
training text shows them. Some pairs of parts never occur in that text, and each of these pairs has a made-up part. So a
program that knew the grammar beforehand could not write any function with such a pair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from grading.language.documents import Prompt, choose_held_out_pairs, encode_documents, make_up_words

DOCUMENTS = 20_000
NUMBER_FUNCTION_SHARE = 0.7
"""The share of functions that take two numbers."""
MIN_CONSTANT, MAX_CONSTANT = 2, 99
"""The bounds of the constants in continuations."""
NAMES = tuple(
    "time second width height cost price speed weight depth length area rate score level count size age year day hour "
    "step limit total index offset margin angle radius mass force volume budget target factor".split()
)
LISTS = tuple("prices values numbers scores items sizes weights ages marks points".split())
HELD_NAMES = 8
"""One pair of names in this many is held out of the training text."""

OPERATIONS = {
    "sum": "{a} + {b}",
    "difference": "{a} - {b}",
    "product": "{a} * {b}",
    "larger": "max({a}, {b})",
    "smaller": "min({a}, {b})",
    "mean": "({a} + {b}) / 2",
    "distance": "abs({a} - {b})",
}
CONTINUATIONS = {
    "alone": ("", "{x}"),
    "plus": (", plus {k}", "{grouped} + {k}"),
    "minus": (", minus {k}", "{grouped} - {k}"),
    "times": (", times {k}", "{grouped} * {k}"),
    "divided": (", divided by {k}", "{grouped} / {k}"),
    "at_least": (", but at least {k}", "max({x}, {k})"),
    "at_most": (", but at most {k}", "min({x}, {k})"),
    "squared": (", squared", "{grouped} ** 2"),
    "negated": (", negated", "-{grouped}"),
    "doubled": (", doubled", "2 * {grouped}"),
}
IDIOMS = {
    "list": ("the list of all numbers in {xs} that are {phrase}", "[x for x in {xs} if {test}]"),
    "sum": ("the sum of all numbers in {xs} that are {phrase}", "sum(x for x in {xs} if {test})"),
    "count": ("how many numbers in {xs} are {phrase}", "len([x for x in {xs} if {test}])"),
    "any": ("whether any number in {xs} is {phrase}", "any({test} for x in {xs})"),
    "all": ("whether all numbers in {xs} are {phrase}", "all({test} for x in {xs})"),
    "first": ("the first number in {xs} that is {phrase}", "[x for x in {xs} if {test}][0]"),
    "last": ("the last number in {xs} that is {phrase}", "[x for x in {xs} if {test}][-1]"),
}
CONDITIONS = {
    "greater": ("greater than {n}", "x > {n}"),
    "less": ("less than {n}", "x < {n}"),
    "equal": ("equal to {n}", "x == {n}"),
    "other": ("other than {n}", "x != {n}"),
    "divisible": ("divisible by {n}", "x % {n} == 0"),
}
TRIVIAL = {("first", "equal"), ("last", "equal")}
"""Combinations of idioms and conditions that never occur, because the result would always be the second argument."""
# The possible meanings of made-up words. The constant c is drawn together with the word.
OPERATION_MEANINGS = (
    "{a} ** 2 + {b}",
    "{a} + {b} ** 2",
    "{a} ** 2 - {b}",
    "{a} - {b} ** 2",
    "{c} * {a} + {b}",
    "{a} + {c} * {b}",
    "{c} * {a} - {b}",
    "{a} - {c} * {b}",
    "{a} * {b} + {c}",
    "{a} * {b} - {c}",
    "{a} * {b} + {a}",
    "{a} * {b} - {b}",
    "({a} + {c}) * {b}",
    "{a} * ({b} - {c})",
    "max({a}, {c} * {b})",
    "min({c} * {a}, {b})",
)
CONTINUATION_MEANINGS = (
    "{grouped} * {k} + {c}",
    "{grouped} * {k} - {c}",
    "{c} * {grouped} + {k}",
    "{c} * {grouped} - {k}",
    "{grouped} ** 2 + {k}",
    "{grouped} ** 2 - {k}",
    "{k} - {grouped}",
    "{k} - {c} * {grouped}",
    "abs({x}) + {k}",
    "max({x}, {k}) + {c}",
)
CONDITION_MEANINGS = (
    "x > {n} + {c}",
    "x > {c} * {n}",
    "{c} * x > {n}",
    "{c} * x < {n}",
    "x ** 2 > {n}",
    "x < {n} ** 2",
    "x % {n} == 1",
    "x % {n} != 0",
    "x + {n} > {c}",
    "x + {n} < {c}",
)
MADE_UP_OPERATIONS, MADE_UP_CONTINUATIONS, MADE_UP_CONDITIONS = 4, 4, 4
HELD_NUMBERS, HELD_LISTS = 16, 4
"""The number of (operation, continuation) and (idiom, condition) pairs that are held out of the training text."""
MOST_OF_ONE, MOST_OF_ONE_LIST = 2, 1
"""The maximum number of held-out pairs that may share an operation or continuation, and that may share an idiom or
condition.
"""


@dataclass(frozen=True)
class FunctionGrammar:
    """The parts of one run's functions, and the pairs that are held out of the training text."""

    operations: dict[str, str]
    continuations: dict[str, tuple[str, str]]
    conditions: dict[str, tuple[str, str]]
    made_up: frozenset[str]
    """The made-up words."""
    held_numbers: frozenset[tuple[str, str]]
    held_lists: frozenset[tuple[str, str]]
    held_names: frozenset[tuple[str, str]]

    def build_number_prompt(
        self, operation: str, continuation: str, first_name: str, second_name: str, constant: int
    ) -> Prompt:
        """Build the prompt for a function of two numbers: signature and docstring; its body is the answer."""
        phrase, wrap = self.continuations[continuation]
        inner = self.operations[operation].format(a=first_name, b=second_name)
        grouped = inner if re.fullmatch(r"\w+\([^()]*\)", inner) else f"({inner})"
        name = operation if continuation == "alone" else f"{operation}_{continuation}"
        said = f"the {operation} of {first_name} and {second_name}{phrase.format(k=constant)}"
        return _build_function_prompt(
            name, first_name, second_name, said, wrap.format(x=inner, grouped=grouped, k=constant)
        )

    def build_list_prompt(self, idiom: str, condition: str, list_name: str, number_name: str) -> Prompt:
        """Build the prompt for a function of a list and a number: signature and docstring; its body is the answer."""
        phrase, test = (part.format(n=number_name) for part in self.conditions[condition])
        said, body = (part.format(xs=list_name, phrase=phrase, test=test) for part in IDIOMS[idiom])
        return _build_function_prompt(f"{idiom}_{condition}", list_name, number_name, said, body)


@dataclass(frozen=True, eq=False)
class FunctionCorpus:
    """The training text, and prompts for functions that are not in it."""

    documents: tuple[str, ...]
    text: np.ndarray
    compositions: tuple[Prompt, ...]
    """Prompts with pairs of parts that are held out of the training text, each of which has a made-up part."""
    made_up: tuple[Prompt, ...]
    """Prompts with made-up operations, and with pairs of names that are held out of the training text."""
    names: tuple[Prompt, ...]
    """Prompts with pairs of parts from the training text, and with pairs of names that are held out of it."""
    language: FunctionGrammar


def _build_function_prompt(
    name: str, first_parameter: str, second_parameter: str, description: str, body: str
) -> Prompt:
    """Build a prompt from a signature and a docstring, with the function's body as the answer."""
    head = f'def {name}({first_parameter}, {second_parameter}):\n    """Return {description}."""'
    return Prompt(head, f"\n    return {body}\n")


def draw_function_corpus(rng: np.random.Generator, *, documents: int = DOCUMENTS, prompts: int = 100) -> FunctionCorpus:
    """Draw a training text of ``documents`` functions, and three sets of ``prompts`` prompts for further ones."""
    language = draw_function_grammar(rng)
    of_numbers = [(o, c) for o in language.operations for c in language.continuations]
    of_lists = [(i, c) for i in IDIOMS for c in language.conditions if (i, c) not in TRIVIAL]
    seen_numbers = [pair for pair in of_numbers if pair not in language.held_numbers]
    seen_lists = [pair for pair in of_lists if pair not in language.held_lists]
    all_names = [(a, b) for a in NAMES + LISTS for b in NAMES if a != b]
    seen_names = [pair for pair in all_names if pair not in language.held_names]
    held_names = sorted(language.held_names)

    def draw_function_prompts(
        count: int, numbers: list[tuple[str, str]], lists: list, names: list[tuple[str, str]]
    ) -> list[Prompt]:
        """Draw functions from these pairs of parts and names. About NUMBER_FUNCTION_SHARE of them take two numbers."""
        of_two = [pair for pair in names if pair[0] in NAMES]
        of_one = [pair for pair in names if pair[0] in LISTS]
        is_of_numbers = rng.random(count) < (NUMBER_FUNCTION_SHARE if lists else 1)
        parts, chosen, constants = (
            rng.random(count),
            rng.random(count),
            rng.integers(MIN_CONSTANT, MAX_CONSTANT + 1, count),
        )
        written = []
        for numeric, part, which, k in zip(is_of_numbers, parts, chosen, constants, strict=True):
            if numeric:
                written.append(
                    language.build_number_prompt(
                        *_pick_at_fraction(numbers, part), *_pick_at_fraction(of_two, which), k
                    )
                )
            else:
                written.append(
                    language.build_list_prompt(*_pick_at_fraction(lists, part), *_pick_at_fraction(of_one, which))
                )
        return written

    text = tuple(
        one.text + one.answer for one in draw_function_prompts(documents, seen_numbers, seen_lists, seen_names)
    )
    made_up = [pair for pair in seen_numbers if pair[0] in language.made_up]
    return FunctionCorpus(
        documents=text,
        text=encode_documents(text),
        compositions=tuple(
            draw_function_prompts(prompts, sorted(language.held_numbers), sorted(language.held_lists), seen_names)
        ),
        made_up=tuple(draw_function_prompts(prompts, made_up, [], held_names)),
        names=tuple(draw_function_prompts(prompts, seen_numbers, seen_lists, held_names)),
        language=language,
    )


def _pick_at_fraction(items: list, share: float) -> tuple[str, str]:
    """Return the item at this fraction (0 ≤ share < 1) of the list's length."""
    return items[int(share * len(items))]


def draw_function_grammar(rng: np.random.Generator) -> FunctionGrammar:
    """Build a run's grammar: the usual words, random made-up ones with meanings, and random pairs to hold out."""
    known = [*OPERATIONS, *CONTINUATIONS, *IDIOMS, *CONDITIONS, *NAMES, *LISTS, "return", "number", "whether"]
    counts = MADE_UP_OPERATIONS, MADE_UP_CONTINUATIONS, MADE_UP_CONDITIONS
    words = make_up_words(sum(counts), rng, known)
    operations, continuations, conditions = dict(OPERATIONS), dict(CONTINUATIONS), dict(CONDITIONS)
    for meaning in _draw_meanings(OPERATION_MEANINGS, MADE_UP_OPERATIONS, rng):
        operations[words.pop()] = meaning
    for meaning in _draw_meanings(CONTINUATION_MEANINGS, MADE_UP_CONTINUATIONS, rng):
        word = words.pop() + "ed"
        continuations[word] = (f", {word} by {{k}}", meaning)
    for meaning in _draw_meanings(CONDITION_MEANINGS, MADE_UP_CONDITIONS, rng):
        word = words.pop()
        conditions[word] = (f"{word} to {{n}}", meaning)
    made_up = {*operations, *continuations, *conditions} - {*OPERATIONS, *CONTINUATIONS, *CONDITIONS}
    numbers = [(o, c) for o in operations for c in continuations if c != "alone" and {o, c} & made_up]
    lists = [(i, c) for i in IDIOMS for c in conditions if c in made_up]
    names = [(a, b) for firsts in (NAMES, LISTS) for a in firsts for b in NAMES if a != b]
    held = rng.permutation(len(names))[: len(names) // HELD_NAMES]
    return FunctionGrammar(
        operations,
        continuations,
        conditions,
        frozenset(made_up),
        frozenset(choose_held_out_pairs(numbers, HELD_NUMBERS, MOST_OF_ONE, rng)),
        frozenset(choose_held_out_pairs(lists, HELD_LISTS, MOST_OF_ONE_LIST, rng)),
        frozenset(names[index] for index in held),
    )


def _draw_meanings(forms: tuple[str, ...], count: int, rng: np.random.Generator) -> list[str]:
    """Draw ``count`` different forms, in each of which a constant from 3 to 9 replaces `{c}`."""
    chosen = rng.permutation(len(forms))[:count]
    return [forms[index].replace("{c}", str(rng.integers(3, 10))) for index in chosen]
