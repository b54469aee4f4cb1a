"""The rivals are real, with the right probabilities and neighbours, and have the expected limits."""

from __future__ import annotations

import re
import time
from collections import Counter

import numpy as np
import pytest

from grading.language.byte_pair_tokens import Tokenizer
from grading.language.documents import Prompt
from grading.language.function_corpus import draw_function_corpus
from grading.language.function_evaluation import draw_function_cases
from grading.language.neighbours import NearestNeighbour
from grading.language.ngrams import KneserNey
from grading.language.rivals import BEFORE_THE_BODY, measure_function_rivals, measure_story_rivals, measure_text_rivals
from grading.language.story_corpus import draw_story_corpus


def test_a_bigram_has_the_probabilities_of_the_formula():
    """They match Kneser and Ney's interpolated formula, by plain dictionaries, for a text of three letters."""
    text = np.random.default_rng(1).choice(3, 200, p=[0.6, 0.3, 0.1])
    pairs = Counter(zip(text[:-1].tolist(), text[1:].tolist(), strict=True))

    def discount(counts):
        """Compute the absolute discount from the counts of counts."""
        once, twice = (sum(c == n for c in counts) for n in (1, 2))
        return once / (once + 2 * twice) if once and twice else 0.5

    different = Counter(second for _, second in pairs)  # in how many contexts a letter stands
    low = discount(different.values())
    base = {w: (different[w] - low) / len(pairs) + low * len(different) / len(pairs) / 3 for w in range(3)}
    high = discount(pairs.values())
    model = KneserNey(text, 3, 2)
    for context in range(3):
        total = sum(count for (first, _), count in pairs.items() if first == context)
        followers = sum(first == context for first, _ in pairs)
        expected = [max(pairs[context, w] - high, 0) / total + high * followers / total * base[w] for w in range(3)]
        assert model.compute_probabilities([np.array([context])])[0] == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_probabilities_add_up_to_one_and_both_ways_agree(order):
    """Both are true after any prefix, seen or not, short or long, and for one token or all."""
    text = np.random.default_rng(1).integers(0, 6, 500)
    model = KneserNey(text, 7, order)
    prefixes = [np.array(prefix, np.int64) for prefix in ([], [3], [6, 6, 6, 6], [1, 2, 3, 4, 5, 0], text[:9])]
    found = model.compute_probabilities(prefixes)
    assert found.sum(axis=1) == pytest.approx(1)
    windows = np.lib.stride_tricks.sliding_window_view(text[:50], order)
    each = model.compute_probabilities([window[:-1] for window in windows])[np.arange(len(windows)), windows[:, -1]]
    assert model.compute_last_token_probability(windows) == pytest.approx(each)


def test_tokens_join_to_the_text_and_merge_the_most_frequent_pair():
    """Any bytes decode to themselves, and the first token joins the most frequent pair."""
    text = b"the theme of that thesis: thus it ends\n\n    and aaa aaaa \xff\xfe\0the" * 3
    tokenizer = Tokenizer(text, 280)
    assert tokenizer.table[256] == b"th"
    assert b"".join(tokenizer.table[token] for token in tokenizer.encode(text)) == text
    assert b"".join(tokenizer.table[token] for token in tokenizer.encode(b"unheard \x80of")) == b"unheard \x80of"
    assert len(tokenizer.encode(text)) < len(text) / 2


def test_a_neighbour_is_found_by_its_rare_words_and_takes_the_prompts():
    """Recited, it gives its own ending. With substitution, the ending has the prompt's words."""
    documents = ["a b had the red car. End b red.", "a c had the blue kite. End c blue."]
    neighbour = NearestNeighbour(documents, re.compile(r".*?\."))
    assert neighbour.complete_like_nearest("a d had the blue kite.", substitute=False) == " End c blue."
    assert neighbour.complete_like_nearest("a d had the green kite.", substitute=True) == " End d green."


def test_no_rival_writes_a_new_composition_and_neighbours_write_new_names():
    """Counting and copying get nothing new right, and new names alone test only copying."""
    functions = draw_function_corpus(np.random.default_rng(3), documents=6000, prompts=40)
    prompts = {figure: getattr(functions, figure) for figure in ("compositions", "made_up", "names")}
    rng = np.random.default_rng(0)
    cases = {figure: [draw_function_cases(prompt, rng) for prompt in asked] for figure, asked in prompts.items()}
    found = measure_function_rivals(functions, prompts, cases)
    assert max(found["compositions"].values()) < 0.1
    assert all(value < 0.1 for name, value in found["names"].items() if "Kneser" in name)
    assert found["names"]["nearest neighbour with the prompt's words"] > 0.4


def test_no_rival_makes_true_claims():
    """Stories made by counting or copying are false."""
    found = measure_story_rivals(draw_story_corpus(np.random.default_rng(3), documents=4000, prompts=40))
    assert set(found) >= {"Kneser-Ney 5 of tokens", "nearest neighbour"}
    assert max(found.values()) < 0.2


def test_longer_n_grams_predict_text_better_and_no_unigram_is_best():
    """On held-out functions the rivals are in the order that theory predicts."""
    documents = draw_function_corpus(np.random.default_rng(3), documents=3000).documents
    found = measure_text_rivals("\0".join(documents[:2500]).encode(), ["\0".join(documents[2500:]).encode()])
    for unit in ("bytes", "tokens"):
        assert found[f"unigram of {unit}"] > found[f"Kneser-Ney 3 of {unit}"] > found[f"Kneser-Ney 5 of {unit}"] > 0
    assert found["unigram of bytes"] > found["unigram of tokens"]


def test_all_rivals_of_a_whole_run_take_some_seconds():
    """20,000 functions and 100 prompts per set take a few seconds of CPU time, even on a slow and busy machine."""
    functions = draw_function_corpus(np.random.default_rng(3))
    prompts = {figure: getattr(functions, figure) for figure in ("compositions", "made_up", "names")}
    cases = {
        figure: [draw_function_cases(p, np.random.default_rng(0)) for p in asked] for figure, asked in prompts.items()
    }
    started = time.process_time()
    measure_function_rivals(functions, prompts, cases)
    assert time.process_time() - started < 30


def test_prompts_end_where_the_cut_does():
    """A document's beginning has the form of a prompt, so that both can be compared word by word."""
    functions = draw_function_corpus(np.random.default_rng(3), documents=20)
    for document in functions.documents:
        match = BEFORE_THE_BODY.match(document)
        assert match
        assert isinstance(Prompt(match[0], document[match.end() :]), Prompt)
        assert match[0].endswith('."""')
