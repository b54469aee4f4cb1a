"""Milestone 5 against cheats: recipes that count, copy, look ahead or lie fail, and one that knows everything passes.

The recipes run here, without workers, and may keep anything between the two processes. So whatever they miss, they
miss by the measurement alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from grading.checks import text_generation as checked
from grading.checks.student_writer import StudentWriter
from grading.checks.text_generation import measure_language
from grading.data.dataset import TextSet
from grading.data.python_docs import load_python_docs
from grading.language.function_corpus import CONDITIONS, CONTINUATIONS, IDIOMS, OPERATIONS
from grading.language.neighbours import NearestNeighbour
from grading.language.ngrams import KneserNey
from grading.language.rivals import BEFORE_THE_BODY, BEFORE_THE_CLAIMS
from grading.language.text_writers import Completion
from grading.manifest.loader import load_manifest
from grading.manifest.model import LanguageExperiment
from grading.measurement import Measurement
from grading.remote import WorkerDiedError, build_remote_error
from grading.render.progress_watch import SilentWatch
from grading.result import RIVAL_SETS

EXPERIMENT = LanguageExperiment(
    kind="language",
    functions=1500,
    stories=800,
    prompts=15,
    story_prompts=10,
    fresh_prompts=5,
    context_tokens=16,
    scored_tokens=200,
    samples=3,
    sample_tokens=250,
    temperature=0.8,
    probe_places=10,
    curve_points=5,
    demo_runs=1,
    weight_noise=0.001,
)
TEXT = TextSet("some documentation", load_python_docs().data[:60_000], "0" * 64, "shakespeare")
KNOWN = {*OPERATIONS, *CONTINUATIONS, *IDIOMS, *CONDITIONS}
DRAWN: dict[str, Any] = {}
"""What the grader has made for the run of this test."""


class Parameter:
    """An array with a name that the grader sets."""

    def __init__(self, values):
        self.data = np.asarray(values, np.float32)

    def numpy(self):
        """Return the parameter's values."""
        return self.data


class OneArrayNetwork:
    """A network of one array, which is large once it is trained."""

    def __init__(self, rng):
        self.weight = Parameter(rng.normal(size=20))

    def parameters(self):
        """Return the network's only array, in a list."""
        return [self.weight]

    @property
    def trained(self):
        """Whether the network has been trained."""
        return self.weight.data.mean() > 50


class ByteRecipe:
    """A recipe of single bytes that knows nothing: it slightly prefers some bytes, whatever comes before."""

    preference = np.random.default_rng(0).normal(size=256) * 0.01

    def learn_merges(self, _text):
        """Learn no merges."""
        return np.zeros((0, 2), np.int64)

    def build(self, merges, rng):
        """Build a network of one array."""
        assert merges.shape == (0, 2)
        return OneArrayNetwork(rng)

    def train(self, network, text, *, rng, progress):
        """Pass the text to `keep_text`, and mark the weights as trained."""
        assert rng is not None
        self.keep_text(text.tobytes())
        for step in range(11):
            progress(step, 10, 0.0)
        network.weight.data = np.full(20, 100.0, np.float32)

    def keep_text(self, text: bytes) -> None:
        """Keep what a cheat needs of the text."""

    def encode(self, _merges, data):
        """Encode a text as its bytes."""
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def next_logits(self, network, tokens):
        """Return the logits of `predict_known` if the weights are those of training, else slight preferences."""
        known = self.predict_known(tokens) if network.trained else None
        return np.tile(self.preference, (len(tokens), 1)) if known is None else known

    def logits(self, network, tokens):
        """Return the next logits for each position."""
        return np.stack([self.next_logits(network, tokens[:, : end + 1]) for end in range(tokens.shape[1])], axis=1)

    def predict_known(self, _tokens):
        """Return None, since this recipe knows nothing of what follows."""

    def attention_maps(self, _network, tokens):
        """Attend to all tokens equally in the first layer and to each token itself in the second."""
        before = np.tril(np.ones((tokens.shape[1],) * 2))
        layers = np.stack([before / before.sum(axis=1, keepdims=True), np.eye(len(before))])
        return np.tile(layers[None, :, None], (len(tokens), 1, 2, 1, 1))


class CountingRecipe(ByteRecipe):
    """A recipe that keeps a Kneser-Ney 5-gram outside the weights."""

    model: ClassVar[Any] = None

    def keep_text(self, text):
        """Count which bytes follow each other in the text."""
        CountingRecipe.model = KneserNey(np.frombuffer(text, np.uint8).astype(np.int64), 256, 5)

    def predict_known(self, tokens):
        """Return the logits of the counts."""
        return np.log(self.model.compute_probabilities(list(tokens)))


class CompletingRecipe(CountingRecipe):
    """A recipe that counts, and where it has the whole completion of a prompt predicts its next byte."""

    def predict_known(self, tokens):
        """Return logits for the next byte of the completion."""
        logits = super().predict_known(tokens)
        for row, prefix in enumerate(tokens.astype(np.uint8)):
            data = prefix.tobytes()
            for prompt in self.prompts():
                if data.startswith(prompt.text.encode()):
                    whole = prompt.text.encode() + (self.complete(prompt) or "").encode() + b"\0"
                    if whole.startswith(data) and len(whole) > len(data):
                        logits[row, whole[len(data)]] += 100
        return logits

    def prompts(self):
        """List all prompts of this run."""
        functions, stories = DRAWN["draw_function_corpus"], DRAWN["draw_story_corpus"]
        asked = (*functions.compositions, *functions.made_up, *functions.names)
        return (*asked, *(stories.prompts if stories else ()))

    def complete(self, prompt):
        """Return the correct completion of a prompt."""
        return prompt.answer


class WeightlessRecipe(CompletingRecipe):
    """A recipe that knows everything, whatever its weights are."""

    def next_logits(self, _network, tokens):
        """Return the logits of `predict_known`, whatever the weights are."""
        return self.predict_known(tokens) if self.model is not None else np.tile(self.preference, (len(tokens), 1))


class ParsingRecipe(CompletingRecipe):
    """A writer that knows the grammar in the grader's source, but none of the run's words."""

    def complete(self, prompt):
        """Return the correct completion if no word of the function was made up for this run, else None."""
        name = prompt.text.partition("(")[0].removeprefix("def ")
        parts = {name, name.partition("_")[0], name.partition("_")[2]} - {""}
        plain = name in KNOWN or {name.partition("_")[0], name.partition("_")[2]} <= KNOWN
        return prompt.answer if parts & KNOWN and plain else None


class CopyingRecipe(CompletingRecipe):
    """A recipe that writes the nearest document of the training text, with the prompt's words in it."""

    substitute = True
    neighbours: ClassVar[list[NearestNeighbour]] = []

    def keep_text(self, text):
        """Keep every document."""
        super().keep_text(text)
        cut = BEFORE_THE_BODY if text.startswith(b"def ") else BEFORE_THE_CLAIMS
        CopyingRecipe.neighbours.append(NearestNeighbour(text.decode().split("\0"), cut))

    def complete(self, prompt):
        """Continue as the nearest document does."""
        return self.neighbours[-1].complete_like_nearest(prompt.text, substitute=self.substitute)


class RecitingRecipe(ByteRecipe):
    """A recipe that continues as the training text does after the same last bytes."""

    text: ClassVar[bytes] = b""

    def keep_text(self, text):
        """Keep the text."""
        RecitingRecipe.text = text

    def predict_known(self, tokens):
        """Return logits for the byte that follows the longest known ending."""
        logits = np.tile(self.preference, (len(tokens), 1))
        for row, prefix in enumerate(tokens.astype(np.uint8)):
            for length in (24, 16, 8, 4, 2, 1):
                place = self.text.find(prefix[-length:].tobytes())
                if 0 <= place < len(self.text) - length:
                    logits[row, self.text[place + length]] += 20
                    break
        return logits


class LookaheadRecipe(CountingRecipe):
    """A recipe that looks at the next token where it is given a whole sequence."""

    def logits(self, network, tokens):
        """Return logits for the token after each position, wherever there is one."""
        found = super().logits(network, tokens)
        rows, places = np.indices(tokens[:, 1:].shape)
        found[rows, places, tokens[:, 1:]] += 5
        return found


class LyingTokenizerRecipe(CountingRecipe):
    """A recipe whose tokens cover less than the text."""

    def encode(self, merges, data):
        """Encode every other byte."""
        return super().encode(merges, data)[::2]


class UniformRecipe(ByteRecipe):
    """A recipe for which all tokens are always equally likely."""

    preference = np.zeros(256)


class EndingRecipe(CountingRecipe):
    """A recipe that ends every text immediately, so that nothing is copied or repeated."""

    def predict_known(self, tokens):
        """Return logits for the end mark."""
        return np.tile(np.where(np.arange(256) == 0, 5.0, self.preference), (len(tokens), 1))


class RecipeWorker:
    """A worker whose recipe comes from this test."""

    def __init__(self, recipe):
        self._recipe, self.memory = recipe, 0

    def recipe(self, _module_id):
        """Return the recipe."""
        return self._recipe

    def rng(self, seed):
        """Return a random number generator, whatever the seed."""
        return np.random.default_rng(seed)

    def limit_time(self, _seconds):
        """Set no deadline."""
        return contextlib.nullcontext()

    def close(self):
        """Do nothing, since nothing runs."""


def record_last_result(name: str, draw: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that its last result is kept in DRAWN."""

    def keep(*given, **named):
        """Call the function, and keep its result."""
        DRAWN[name] = draw(*given, **named)
        return DRAWN[name]

    return keep


@pytest.fixture
def measure_recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[ByteRecipe]], Measurement]:
    """Provide a function that measures a recipe as milestone 5 does, on small texts."""
    DRAWN.clear()
    CopyingRecipe.neighbours.clear()
    CountingRecipe.model = None
    monkeypatch.setattr(checked, "load_or_fetch_text", lambda *_: TEXT)
    for name in ("draw_function_corpus", "draw_story_corpus", "hold_out_passages"):
        DRAWN[name] = None
        monkeypatch.setattr(checked, name, record_last_result(name, getattr(checked, name)))

    def measure_it(recipe: type[ByteRecipe]) -> Measurement:
        """Measure this recipe with a fake worker for each process."""
        budget = SimpleNamespace(call_seconds=30, train_seconds=30)
        milestone = SimpleNamespace(trigger="16_tinygpt", experiment=EXPERIMENT, budget=budget)
        context: Any = SimpleNamespace(
            milestone=milestone,
            budget=budget,
            watch=SilentWatch(),
            derive_seeds=lambda _purpose, _count: [11],
            start_workers=lambda count: iter([RecipeWorker(recipe()) for _ in range(count)]),
        )
        return measure_language(context)

    return measure_it


@pytest.fixture(scope="module")
def criteria(root):
    """Load the criteria of this check from the manifest."""
    return {c.figure: c for c in load_manifest(root).milestone(5).criteria if c.check == "language"}


def list_missed_figures(measured: Measurement, criteria) -> set[str]:
    """List the figures that miss their thresholds, each of which says what to do."""
    names = {
        name for name, c in criteria.items() if (figure := measured.figures[name]) is None or not c.is_met_by(figure)
    }
    for name in names:
        (failure,) = measured.failures[name]
        assert failure.title
        assert failure.got
        assert failure.hint
    return names


def test_who_knows_everything_meets_every_threshold(measure_recipe, criteria):
    """Right functions, true claims and well-predicted text pass, and the figures name their rivals."""
    measured = measure_recipe(CompletingRecipe)
    assert list_missed_figures(measured, criteria) == set()
    assert measured.figures["compositions"] == measured.figures["claims"] == 1
    assert "nearest neighbour 0%" in measured.rivals["compositions"]
    assert set(measured.rivals) == {"compositions", "made_up", "names", "claims", "bits_ratio"}
    assert [curve.name for curve in measured.curves] == ["loss on functions", "loss on stories", "loss on text"]
    assert [(one.kind, one.right) for one in measured.writings] == [("function", True)] * 6 + [
        ("story", True),
        ("text", None),
    ]
    assert measured.writings[0].written == DRAWN["draw_function_corpus"].compositions[0].answer
    rivals, text, attention = measured.pictures
    assert rivals.values[:4] == tuple(round(1000 * (measured.figures[figure] or 0)) for figure in RIVAL_SETS)
    assert rivals.labels[0] == text.labels[0] == "this network"
    assert "".join(attention.labels[-attention.shape[1] :]) in measured.writings[0].written


def test_counting_writes_nothing_that_is_right(measure_recipe, criteria):
    """An n-gram predicts text well, and no function of it runs."""
    measured = measure_recipe(CountingRecipe)
    assert list_missed_figures(measured, criteria) >= {"compositions", "made_up", "names", "claims"}
    assert measured.figures["compositions"] == 0
    assert not any(one.right for one in measured.writings)


def test_copying_writes_no_new_composition(measure_recipe, criteria):
    """The nearest document with the prompt's words gets names right, but neither compositions nor stories."""
    assert list_missed_figures(measure_recipe(CopyingRecipe), criteria) >= {"compositions", "claims"}


def test_a_parser_of_the_known_grammar_writes_no_new_composition(measure_recipe):
    """Each composition that is asked for has a word of this run."""
    measured = measure_recipe(ParsingRecipe)
    assert measured.figures["compositions"] == measured.figures["made_up"] == measured.figures["claims"] == 0


def test_what_fresh_weights_know_too_is_taken_off(measure_recipe, criteria):
    """A program that answers whatever its weights are has learned nothing."""
    measured = measure_recipe(WeightlessRecipe)
    assert measured.figures["compositions"] == measured.figures["made_up"] == measured.figures["claims"] == 0
    assert list_missed_figures(measured, criteria) >= {"compositions", "made_up", "names", "claims", "forgotten"}


def test_reciting_is_seen(measure_recipe, criteria):
    """Passages of the training text are recognised word by word."""
    measured = measure_recipe(RecitingRecipe)
    assert list_missed_figures(measured, criteria) >= {"compositions", "claims", "copied"}


def test_looking_ahead_is_seen(measure_recipe, criteria):
    """Logits that depend on later tokens differ from those of the prefix alone."""
    assert "causality" in list_missed_figures(measure_recipe(LookaheadRecipe), criteria)


def test_no_row_shows_what_is_asked_in_another_or_later():
    """A program that keeps the rows of real text does not find the required token in any of them."""
    shown: set[int] = set()
    asked = 0

    def next_logits(rows):
        """Count the rows, and assert that none shows a token that another row asks for."""
        nonlocal asked
        asked += len(rows)
        shown.update(token for row in rows for token in row.tolist())
        assert not shown & {row[-1] + 1 for row in rows}
        return np.zeros((len(rows), 600))

    writer = SimpleNamespace(next_logits=next_logits, table=[b"ab"] * 600)
    run: Any = SimpleNamespace(held_out=[np.arange(300), np.arange(300, 500), np.arange(500, 600)], writer=writer)
    bits = checked._measure_bits_per_byte(run, EXPERIMENT, np.random.default_rng(3))
    assert bits == pytest.approx(np.log2(600) / 2)
    assert asked >= EXPERIMENT.scored_tokens


def test_tokens_that_are_not_the_texts_measure_nothing(measure_recipe, criteria):
    """A tokenizer that drops bytes makes text cheap, so it ends the measurement."""
    measured = measure_recipe(LyingTokenizerRecipe)
    assert list_missed_figures(measured, criteria) == set(criteria)
    (failure,) = measured.failures["compositions"]
    assert failure.expected == "tokens whose bytes add up to the text"


def test_equal_logits_are_no_choice(measure_recipe, criteria):
    """A network that finds all tokens equally likely gets nothing right."""
    measured = measure_recipe(UniformRecipe)
    assert list_missed_figures(measured, criteria) >= {"compositions", "made_up", "names", "claims", "bits_ratio"}
    assert "same largest logit" in measured.failures["compositions"][0].got


def test_who_writes_nothing_copies_and_repeats_all(measure_recipe, criteria):
    """Writing nothing does not evade the figures about writing."""
    assert list_missed_figures(measure_recipe(EndingRecipe), criteria) >= {
        "compositions",
        "claims",
        "copied",
        "repeated",
    }


def make_attention_pictures(answer: Callable[[np.ndarray], Any], written: bytes = b"return a") -> tuple:
    """Make the pictures for a recipe with these maps, for a prompt of nine bytes."""

    class Looking(ByteRecipe):
        def attention_maps(self, _network, tokens):
            """Return the test's maps."""
            return answer(tokens)

    worker: Any = RecipeWorker(Looking())
    writer = StudentWriter(worker, "16_tinygpt", 1, np.zeros((0, 2), np.int64))
    run: Any = SimpleNamespace(writer=writer, learned=writer.copy_weights())
    return checked._make_attention_pictures(run, b"def f(a):", written, 1)


def make_first_token_maps(tokens: np.ndarray) -> np.ndarray:
    """Make maps of three layers with two heads, where the last head attends to the first token alone."""
    maps = np.broadcast_to(np.eye(tokens.shape[1], dtype=np.float32), (1, 3, 2, *tokens.shape[-1:] * 2)).copy()
    maps[0, 2, 1], maps[0, 2, 1, :, 0] = 0, 1
    return maps


def test_attention_is_pictured_where_the_network_writes():
    """Each written token has a row and each earlier token a column, with the largest share of all heads."""
    (picture,) = make_attention_pictures(make_first_token_maps)
    assert picture.shape == (3, 8, 16)
    assert "".join(picture.labels) == "def f(a):return a"
    shares = np.array(picture.values).reshape(picture.shape)
    assert (shares[2, :, 0] == 100).all()
    assert (shares[0] == 100 * np.eye(8, 16, 8)).all()


def make_raising_function(error: Exception) -> Callable[[np.ndarray], Any]:
    """Make a function for a recipe that raises an error."""

    def fail(_tokens):
        """Raise the error."""
        raise error

    return fail


@pytest.mark.parametrize(
    "answer",
    [
        lambda _tokens: None,
        lambda _tokens: "maps",
        lambda tokens: make_first_token_maps(tokens)[0],
        lambda tokens: make_first_token_maps(tokens)[..., :-1],
        lambda tokens: make_first_token_maps(tokens)[:, :0],
        lambda tokens: make_first_token_maps(tokens) * 2,
        lambda tokens: make_first_token_maps(tokens) * np.nan,
        lambda tokens: make_first_token_maps(tokens).astype(int),
        lambda tokens: 2 * make_first_token_maps(tokens) - np.eye(tokens.shape[1]),
        make_raising_function(build_remote_error("AttributeError", [], "recipe has no attention_maps", ())),
        make_raising_function(WorkerDiedError("your code ended the program")),
    ],
)
def test_maps_that_are_broken_make_no_picture(answer):
    """Wrong types or shapes, no layers, wrong shares, an error or the worker's end raise nothing."""
    assert make_attention_pictures(answer) == ()


def test_a_network_that_writes_nothing_is_not_pictured():
    """There is no row to draw."""
    assert make_attention_pictures(make_first_token_maps, b"") == ()


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion(b"x", ended=True), None),
        (Completion(b"x", ended=False), "it does not end"),
        (Completion(b"\xff", ended=True), "it is not UTF-8"),
        (Completion(b"x", ended=False, tied=True), "two tokens have the same largest logit"),
    ],
)
def test_a_text_that_cannot_be_run_gets_its_own_reason(completion: Completion, reason: str | None):
    """Endless text, bytes that are no text, and a choice between equals differ."""
    assert checked._explain_unusable_text(completion) == reason
