"""Small functions made from a seed: held-out pairs are absent, and each right answer computes."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from collections import Counter

import numpy as np
import pytest

from grading.language.documents import END_MARK
from grading.language.function_corpus import (
    CONDITION_MEANINGS,
    CONDITIONS,
    CONTINUATION_MEANINGS,
    CONTINUATIONS,
    IDIOMS,
    MAX_CONSTANT,
    MIN_CONSTANT,
    OPERATION_MEANINGS,
    OPERATIONS,
    FunctionCorpus,
    draw_function_corpus,
    draw_function_grammar,
)
from grading.language.function_evaluation import draw_function_cases, find_completion_mistake

HEAD = re.compile(r'def (\w+)\((\w+), (\w+)\):\n    """Return [^"]+\."""')


@pytest.fixture(scope="module")
def function_corpus() -> FunctionCorpus:
    """Draw a small text, which follows the same rules as a large one."""
    return draw_function_corpus(np.random.default_rng(5), documents=4000)


def list_names_and_pairs(documents) -> tuple[set[str], set[tuple[str, str]]]:
    """List the names and the pairs of arguments of some functions."""
    found = [HEAD.match(document) for document in documents]
    return {m[1] for m in found if m}, {(m[2], m[3]) for m in found if m}


def test_every_document_is_a_function_with_a_docstring_and_the_end_mark(function_corpus):
    """The bytes are the documents, each with one end mark after it and none inside."""
    assert all(HEAD.match(document) for document in function_corpus.documents)
    assert bytes(function_corpus.text).decode().split(END_MARK)[:-1] == list(function_corpus.documents)


def test_held_out_pairs_of_parts_are_not_in_the_text(function_corpus):
    """No function of the training text has the name of a new composition."""
    names, _ = list_names_and_pairs(function_corpus.documents)
    asked, _ = list_names_and_pairs(prompt.text for prompt in function_corpus.compositions)
    assert len(asked) > 10
    assert not asked & names


def test_each_part_of_a_held_out_pair_is_in_the_text_with_others(function_corpus):
    """New compositions can be learned, because each part occurs in other pairs, also with made-up parts."""
    language = function_corpus.language
    numbers = {(o, c) for o in language.operations for c in language.continuations} - language.held_numbers
    lists = {(i, c) for i in IDIOMS for c in language.conditions} - language.held_lists
    for side in (0, 1):
        assert min(Counter(pair[side] for pair in numbers).values()) >= 5
        assert min(Counter(pair[side] for pair in lists).values()) >= 4


def test_every_held_out_pair_has_a_made_up_part(function_corpus):
    """A program that already knows the grammar gets no new composition right."""
    known = {*OPERATIONS, *CONTINUATIONS, *IDIOMS, *CONDITIONS}
    assert all(
        not {*pair} <= known for pair in function_corpus.language.held_numbers | function_corpus.language.held_lists
    )


def test_held_out_pairs_of_names_are_not_in_the_text(function_corpus):
    """New names are pairs of arguments that no function of the training text has."""
    _, pairs = list_names_and_pairs(function_corpus.documents)
    _, asked = list_names_and_pairs(prompt.text for prompt in function_corpus.names + function_corpus.made_up)
    assert len(asked) > 50
    assert not asked & pairs


def test_the_right_answer_of_every_prompt_is_right(function_corpus):
    """Each answer runs on its own cases, and the answers of one prompt are not those of another."""
    rng = np.random.default_rng(0)
    for prompt in function_corpus.compositions + function_corpus.made_up + function_corpus.names:
        cases = draw_function_cases(prompt, rng)
        assert find_completion_mistake(prompt, prompt.answer, cases) is None
        first, second = HEAD.match(prompt.text).groups()[1:]
        for constant in (f"\n    return {first}\n", f"\n    return {second}\n", "\n    return 0\n"):
            assert find_completion_mistake(prompt, constant, cases) is not None


def test_one_seed_makes_one_text_and_another_seed_another():
    """Everything follows from the generator, and a different seed gives different made-up words."""
    first, again, other = (draw_function_corpus(np.random.default_rng(s), documents=50, prompts=5) for s in (1, 1, 2))
    assert (first.documents, first.compositions, first.language) == (
        again.documents,
        again.compositions,
        again.language,
    )
    assert first.language.made_up.isdisjoint(other.language.made_up)


def test_made_up_words_have_other_meanings_in_other_runs():
    """Twenty runs use at least ten meanings of made-up operations."""
    meanings = {
        meaning
        for seed in range(20)
        for word, meaning in draw_function_corpus(
            np.random.default_rng(seed), documents=1, prompts=1
        ).language.operations.items()
        if word not in OPERATIONS
    }
    assert len(meanings) >= 10


def test_the_whole_text_is_made_quickly_and_is_not_large():
    """20,000 functions take less than 4 MB and far less than a second of CPU time on any machine."""
    started = time.process_time()
    text = draw_function_corpus(np.random.default_rng(3)).text
    assert time.process_time() - started < 2
    assert 2_000_000 < text.size < 4_000_000


@pytest.mark.parametrize("c", [3, 9])
@pytest.mark.parametrize("k", [MIN_CONSTANT, MAX_CONSTANT])
def test_no_function_that_can_be_drawn_is_a_constant(c, k):
    """Every operation with every continuation has inputs that give different values, whatever is drawn."""
    rng = np.random.default_rng(0)
    meanings = {f"word{n}": meaning.replace("{c}", str(c)) for n, meaning in enumerate(OPERATION_MEANINGS)}
    wraps = {f"wrap{n}": ("", wrap.replace("{c}", str(c))) for n, wrap in enumerate(CONTINUATION_MEANINGS)}
    tests = {f"test{n}": ("", test.replace("{c}", str(c))) for n, test in enumerate(CONDITION_MEANINGS)}
    language = dataclasses.replace(
        draw_function_grammar(rng),
        operations=OPERATIONS | meanings,
        continuations=CONTINUATIONS | wraps,
        conditions=CONDITIONS | tests,
    )
    for operation, continuation in itertools.product(language.operations, language.continuations):
        cases = draw_function_cases(language.build_number_prompt(operation, continuation, "a", "b", k), rng)
        assert len({repr(case.expected) for case in cases}) > 1
    for idiom, condition in itertools.product(IDIOMS, language.conditions):
        cases = draw_function_cases(language.build_list_prompt(idiom, condition, "xs", "n"), rng)
        assert len({repr(case.expected) for case in cases}) > 1
