"""The keys of milestone 4's and 5's number questions are what the course's own modules 12, 13 and 16 compute."""

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from grading.manifest.loader import load_manifest
from grading.manifest.model import NumberQuestion
from grading.quiz.student_questions import ENVIRONMENT

ROOT = Path(__file__).parents[2]
QUESTIONS = {question.id: question for number in (4, 5) for question in load_manifest(ROOT).milestone(number).questions}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the course's own framework, and forget all of it afterwards."""
    for module in load_manifest(ROOT).modules:
        monkeypatch.syspath_prepend(ROOT / module.folder)
    for name in ("compression", "kernels", "tinygpt"):
        importlib.import_module(f"tinytorch.{name}")
    yield sys.modules["tinytorch"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinytorch"]:
        del sys.modules[name]


def iterate_cases(question_id: str) -> Iterator[tuple[dict, float]]:
    """Yield every combination of a question's parameters with its answer."""
    question = QUESTIONS[question_id]
    assert isinstance(question, NumberQuestion)
    assert question.answer is not None
    answer = ENVIRONMENT.compile_expression(question.answer)
    for chosen in itertools.product(*question.parameters.values()):
        parameters = dict(zip(question.parameters, chosen, strict=True))
        yield parameters, answer(**parameters)


def test_a_value_becomes_the_integer_that_quantize_gives(own: ModuleType):
    """Scale and zero point of the range that the prompt shows turn the value that it shows into the key."""
    for numbers, key in iterate_cases("quantised_by_hand"):
        below, step, place = numbers.values()
        shown = [round(steps * step, 3) for steps in (-below, 254 - below, place + 0.2)]
        scale = own.compression.choose_scale(*shown[:2])
        assert own.compression.quantize(np.array(shown[2:]), *scale) == [key], numbers


def test_the_cache_holds_the_rows_that_row_blocks_takes(own: ModuleType, monkeypatch: pytest.MonkeyPatch):
    """There are as many blocks as `row_blocks` returns for the bytes of one output row's columns."""
    for numbers, key in iterate_cases("blocks_of_rows"):
        n, channels, size, cache = numbers.values()
        monkeypatch.setattr(own.kernels, "CACHE", cache * 1024)
        assert len(own.kernels.row_blocks(size, 3 * 3 * channels * size * n * np.float32().nbytes)) == key, numbers


def test_one_product_more_is_not_exact_any_more():
    """K products are at most the largest integer that all smaller ones share; K + 1 can give an odd sum above it."""
    for numbers, key in iterate_cases("exact_products"):
        digits, weight, largest = numbers.values()
        excess = weight * largest * (key + 1) - 2**digits
        assert weight * largest * key <= 2**digits
        assert (key + 1) % 2 == 1 or excess > min(weight, largest), numbers


def test_a_text_has_the_tokens_that_three_merges_leave(own: ModuleType):
    """`train_bpe` of such a text learns three merges, and `encode` gives as many tokens as the key says."""
    for numbers, key in iterate_cases("three_merges"):
        words = (b" low", b" lower", b" newest", b" widest")
        text = b"".join(word * count for word, count in zip(words, numbers.values(), strict=True))
        merges = own.tinygpt.train_bpe(text, 256 + 3)
        assert len(own.tinygpt.Tokenizer(merges).encode(text)) == key, numbers


def test_bits_per_byte_are_those_of_a_uniform_model(own: ModuleType):
    """A model that expects V tokens alike has ln V nats per token, and `evaluate_text` gives its bits per byte."""
    data = b"low lower lowest"
    tokenizer = own.tinygpt.Tokenizer(own.tinygpt.train_bpe(data, 259))
    model = own.tinygpt.GPT(259, 48, 4, 1, 1, rng=np.random.default_rng(0))
    model.token_embedding.weight.data[:] = 0
    found, (first, rest) = own.tinygpt.evaluate_text(model, tokenizer, data), np.split(tokenizer.encode(data), [1])
    share = len(rest) / (len(data) - len(tokenizer.decode(first)))
    question = QUESTIONS["bits_per_byte"]
    assert isinstance(question, NumberQuestion)
    assert question.answer is not None
    answer = ENVIRONMENT.compile_expression(question.answer)
    bits = -answer(size=1, share=100 * share, loss=found["loss"], bytewise=0)
    assert bits == pytest.approx(found["bits_per_byte"])


def test_a_network_and_its_caches_take_the_memory_that_a_users_share_is_computed_from(own: ModuleType):
    """One network and the caches of so many users fit in the memory; with one user more they do not."""
    for numbers, key in list(iterate_cases("users_in_memory"))[::18]:
        memory, vocab, context, width, depth = numbers.values()
        model = own.tinygpt.GPT(vocab, context, width, num_heads=4, num_layers=depth, rng=np.random.default_rng(0))
        weights = sum(parameter.data.nbytes for parameter in model.parameters())
        cache, new = own.tinygpt.KVCache(context), own.tensor.Tensor(np.zeros((1, 4, 1, width // 4), np.float32))
        cache.append(new, new)
        user = depth * (cache.keys.nbytes + cache.values.nbytes)
        assert weights + key * user <= memory << 20 < weights + (key + 1) * user, numbers


def test_generate_feeds_as_many_tokens_as_the_key_counts(own: ModuleType, monkeypatch: pytest.MonkeyPatch):
    """All tokens so far for each new one, less those that `generate` sends through the network."""
    model = own.tinygpt.GPT(256, 250, 4, 1, 1, rng=np.random.default_rng(0))
    fed: list[int] = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda x, caches: (fed.append(x.shape[1]), forward(x, caches))[1])
    for numbers, key in list(iterate_cases("tokens_saved"))[::7]:
        prompt, new = numbers.values()
        fed.clear()
        own.tinygpt.generate(model, np.zeros((1, prompt), np.int64), new, rng=np.random.default_rng(0))
        assert sum(range(prompt, prompt + new)) - sum(fed) == key, numbers


def test_the_second_token_is_as_likely_as_sampling_makes_it(own: ModuleType):
    """`sampling_probabilities` of the logits in the prompt gives the key."""
    for numbers, key in iterate_cases("top_p_by_hand"):
        *weights, top_p = numbers.values()
        found = own.tinygpt.sampling_probabilities(np.log(weights), temperature=0.5, top_p=top_p)
        assert found[1] == pytest.approx(key), numbers


def test_masks_that_leak_let_an_output_follow_a_later_token(own: ModuleType):
    """Both wrong masks of the question let an output depend on the token after it, and the right one does not."""
    length = 6
    right = np.tril(np.ones((length, length), bool))
    x = np.random.default_rng(0).normal(size=(1, 1, length, 4)).astype(np.float32)
    other = x.copy()
    other[:, :, 3] += 1
    for mask, leaks in ((right, False), (right.T, True), (np.tril(np.ones_like(right), 1), True)):
        attend = own.attention.scaled_dot_product_attention
        one, two = (attend(*map(own.tensor.Tensor, (x, v, v)), mask)[0].numpy()[0, 0, 2] for v in (x, other))
        assert (np.abs(one - two).max() > 1e-3) == leaks
