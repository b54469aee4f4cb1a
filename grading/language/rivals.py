"""The rivals that a network has to beat.

They only count or copy, and they are measured on the same text in the same run as the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from grading.language.byte_pair_tokens import BYTES, Tokenizer
from grading.language.documents import Prompt
from grading.language.function_corpus import FunctionCorpus
from grading.language.function_evaluation import FunctionCase, find_completion_mistake
from grading.language.neighbours import NearestNeighbour
from grading.language.ngrams import KneserNey, NgramWriter
from grading.language.story_corpus import StoryCorpus, measure_true_claim_share
from grading.language.text_writers import complete_greedily

VOCABULARY_SIZE = 512
"""The size of the grader's own vocabulary."""
ORDERS = (3, 5)
FUNCTION_BYTES, STORY_BYTES = 160, 400
"""The maximum number of bytes in a function's completion, and in a story's completion."""
BEFORE_THE_BODY = re.compile(r'def .*?""".*?"""', re.DOTALL)
BEFORE_THE_CLAIMS = re.compile(r".*(?= At night)", re.DOTALL)
RivalFigures = dict[str, float]
"""The figures of the rivals, keyed by the rival's name."""
Completer = Callable[[Sequence[Prompt]], list[str]]


def measure_right_function_share(
    prompts: Sequence[Prompt], completions: Sequence[str | None], cases: Sequence[Sequence[FunctionCase]]
) -> float:
    """Measure the share of completions that compute what the docstring says. A completion is None if it did not end."""
    right = [
        completion is not None and find_completion_mistake(prompt, completion, some) is None
        for prompt, completion, some in zip(prompts, completions, cases, strict=True)
    ]
    return sum(right) / max(1, len(right))


def make_function_rivals(functions: FunctionCorpus) -> dict[str, Completer]:
    """Make rivals that write functions by counting or copying those in the training text, keyed by name."""
    return _make_rivals(functions.text, functions.documents, BEFORE_THE_BODY, FUNCTION_BYTES)


def measure_function_rivals(
    functions: FunctionCorpus,
    prompts: Mapping[str, Sequence[Prompt]],
    cases: Mapping[str, Sequence[Sequence[FunctionCase]]],
) -> dict[str, RivalFigures]:
    """Map each set of prompts to each rival's share of correct functions."""
    ladders: dict[str, RivalFigures] = {figure: {} for figure in prompts}
    for name, complete in make_function_rivals(functions).items():
        for figure, asked in prompts.items():
            ladders[figure][name] = measure_right_function_share(asked, complete(asked), cases[figure])
    return ladders


def measure_story_rivals(stories: StoryCorpus) -> RivalFigures:
    """Measure the share of each rival's claims that are true."""
    rivals = _make_rivals(stories.text, stories.documents, BEFORE_THE_CLAIMS, STORY_BYTES)
    return {
        name: measure_true_claim_share(stories.prompts, complete(stories.prompts)) for name, complete in rivals.items()
    }


def measure_text_rivals(training_text: bytes, held_out: Sequence[bytes]) -> RivalFigures:
    """Measure bits per byte on held-out passages, for n-grams of bytes and of the grader's own tokens."""
    tokenizer = Tokenizer(training_text, VOCABULARY_SIZE)
    single = [bytes([byte]) for byte in range(BYTES)]
    ladder: RivalFigures = {}
    for unit, table, encode in (("bytes", single, _encode_bytes), ("tokens", tokenizer.table, tokenizer.encode)):
        tokens, passages = encode(training_text), [encode(passage) for passage in held_out]
        sizes = np.array([len(piece) for piece in table])
        for order in (1, *ORDERS):
            model = KneserNey(tokens, len(table), order)
            windows = [np.lib.stride_tricks.sliding_window_view(passage, order) for passage in passages]
            asked = np.concatenate(windows)
            name = f"unigram of {unit}" if order == 1 else f"Kneser-Ney {order} of {unit}"
            bits = -np.log2(model.compute_last_token_probability(asked)).sum()
            ladder[name] = float(bits / sizes[asked[:, -1]].sum())
    return ladder


def _make_rivals(
    text: np.ndarray, documents: Sequence[str], prompt_pattern: re.Pattern, most_bytes: int
) -> dict[str, Completer]:
    """Make the rivals that write, keyed by name: n-grams of tokens, n-grams of bytes, and the nearest document."""
    data = text.tobytes()
    tokenizer = Tokenizer(data, VOCABULARY_SIZE)
    tokens, single = tokenizer.encode(data), [bytes([byte]) for byte in range(BYTES)]
    writers = {
        f"Kneser-Ney {order} of tokens": NgramWriter(
            KneserNey(tokens, len(tokenizer.table), order), tokenizer.table, tokenizer.encode
        )
        for order in ORDERS
    }
    longest = max(ORDERS)
    writers[f"Kneser-Ney {longest} of bytes"] = NgramWriter(
        KneserNey(text.astype(np.int64), BYTES, longest), single, _encode_bytes
    )
    neighbour = NearestNeighbour(documents, prompt_pattern)

    def make_completer(writer: NgramWriter) -> Completer:
        """Make a function that maps a list of prompts to this writer's continuations, in order."""

        def complete_prompts(prompts: Sequence[Prompt]) -> list[str]:
            """Return the text with which the writer continues each prompt, in order."""
            asked = [prompt.text.encode() for prompt in prompts]
            return [completion.text or "" for completion in complete_greedily(writer, asked, most_bytes)]

        return complete_prompts

    def complete_with_nearest(prompts: Sequence[Prompt], *, substitute: bool) -> list[str]:
        """Answer each prompt with the nearest training document.

        If `substitute` is set, insert the prompt's own names.
        """
        return [neighbour.complete_like_nearest(prompt.text, substitute=substitute) for prompt in prompts]

    rivals: dict[str, Completer] = {name: make_completer(writer) for name, writer in writers.items()}
    rivals["nearest neighbour"] = lambda prompts: complete_with_nearest(prompts, substitute=False)
    rivals["nearest neighbour with the prompt's words"] = lambda prompts: complete_with_nearest(
        prompts, substitute=True
    )
    return rivals


def _encode_bytes(data: bytes) -> np.ndarray:
    """Convert bytes to an array of token ids, 0 to 255."""
    return np.frombuffer(data, np.uint8).astype(np.int64)
