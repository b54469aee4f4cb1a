"""Milestone 5: a network that writes functions that run, stories that are true, and text that is its own.

One recipe trains three networks, each on a different text. Only their weights are tested, in a process that saw no
training. That process receives prefixes and returns logits for the next token. The grader itself chooses tokens, and
parses, runs and compares what was written. The share that fresh weights get right is subtracted from the share that the
trained weights get right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from grading.checks.grader_seeds import make_grader_rng
from grading.checks.run_pictures import (
    MOST_ROWS,
    MOST_TOKENS,
    make_attention_picture,
    make_rival_picture,
    make_text_rival_picture,
)
from grading.checks.student_network import RecipeError
from grading.checks.text_generation_failures import (
    explain_failed_text,
    explain_false_claims,
    explain_real_text_failures,
    explain_shared_text_failures,
    explain_wrong_functions,
)
from grading.checks.text_training import TextRun, compute_softmax, train_and_measure_writer
from grading.client import Worker
from grading.data.load import load_or_fetch_text
from grading.language.documents import Prompt
from grading.language.function_corpus import draw_function_corpus
from grading.language.function_evaluation import draw_function_cases, find_completion_mistake
from grading.language.passages import PassageSplit, hold_out_passages, measure_copied_share, measure_repeated_share
from grading.language.rivals import (
    FUNCTION_BYTES,
    STORY_BYTES,
    RivalFigures,
    measure_function_rivals,
    measure_story_rivals,
    measure_text_rivals,
)
from grading.language.story_corpus import count_true_claims, draw_story_corpus, measure_true_claim_share
from grading.language.text_writers import Completion, complete_by_sampling, complete_greedily
from grading.manifest.model import LanguageExperiment
from grading.measurement import CheckContext, Measurement, build_failed_measurement, get_milestone_and_experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure, Picture, Writing

PROMPT_SETS = ("compositions", "made_up", "names")
UNIGRAM, BITS = "unigram of tokens", "bits_ratio"
SAMPLE_START = 60
"""The number of characters at the beginning of a passage that a sample continues."""
SHOWN_FUNCTIONS = 2
"""The number of functions from each set that are recorded: always the first ones, whether right or wrong."""
SHARED_FIGURES = ("fresh_ratio", "forgotten", "causality", "carried_difference", "numbers")


@dataclass(frozen=True)
class TextFindings:
    """The results for one text: figures, failures, the rivals' figures, samples and pictures."""

    figures: dict[str, float]
    failures: dict[str, Failure]
    ladders: dict[str, RivalFigures]
    writings: tuple[Writing, ...]
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class FunctionAttempt:
    """One function that the network was asked to write."""

    written: str
    mistake: str | None
    """The mistake in the function, or None if it does what the docstring says."""


def measure_language(context: CheckContext) -> Measurement:
    """Train networks on three texts, of which one may have to be downloaded, and test each in another process.

    Only the weights are copied there. For a figure that all three have, the worst value counts.
    """
    milestone, experiment = get_milestone_and_experiment(context, LanguageExperiment)
    data = load_or_fetch_text(experiment.data, context.watch)
    (seed,) = context.derive_seeds("language", 1)
    rng = make_grader_rng(seed, "texts")
    how = (
        f"seed {seed}: {experiment.functions:,} functions and {experiment.stories:,} stories made for this run, and "
        f"{data.name} (SHA-256 {data.digest[:12]}…); three networks from one recipe, tested in a process that saw no "
        f"training, with weight noise of {experiment.weight_noise:g}, using only the logits for the next token"
    )
    runs: list[TextRun] = []
    findings: list[TextFindings] = []
    try:
        workers = context.start_workers(6)
        findings.append(_measure_function_writing(context, workers, seed, rng, runs))
        findings.append(_measure_story_writing(context, workers, seed, rng, runs))
        findings.append(_measure_text_prediction(context, workers, seed, rng, data.data, runs))
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        failure = explain_failed_text(error, milestone, ("functions", "stories", "text")[len(findings)])
        curves = tuple(run.curve for run in runs)
        return build_failed_measurement("language", failure, how=how, curves=curves, data=data.record)
    figures: dict[str, float | None] = {name: figure for one in findings for name, figure in one.figures.items()}
    for name in SHARED_FIGURES:
        pick = min if name in ("fresh_ratio", "forgotten") else max
        figures[name] = pick(one.figures[name] for one in findings)
    failures = {name: failure for one in findings for name, failure in one.failures.items()}
    return Measurement(
        figures,
        {name: (failure,) for name, failure in (failures | explain_shared_text_failures(figures)).items()},
        how=f"{how}; trained in {', '.join(f'{run.seconds:.0f} s' for run in runs)}",
        rivals=_describe_rivals(findings),
        curves=tuple(run.curve for run in runs),
        pictures=_collect_pictures(figures, findings, seed),
        writings=tuple(writing for one in findings for writing in one.writings),
        data=data.record,
    )


def _train_on_text(
    context: CheckContext,
    workers: Iterator[Worker],
    seed: int,
    text_name: str,
    text: np.ndarray,
    runs: list[TextRun],
    held_out: Sequence[bytes] = (),
) -> TextRun:
    """Train a network on one text, copy its weights into another process, add the run to ``runs``, and return it."""
    context.watch.begin_phase(f"Training on {text_name}, {len(text) / 1e6:.1f} MB (seed {seed})", 100)
    runs.append(train_and_measure_writer(context, next(workers), next(workers), seed, text_name, text, list(held_out)))
    context.watch.begin_phase(f"Testing the network that learned {text_name}", None)
    return runs[-1]


def _measure_function_writing(
    context: CheckContext, workers: Iterator[Worker], seed: int, rng: np.random.Generator, runs: list[TextRun]
) -> TextFindings:
    """Train on functions, add to ``runs``, run new ones that it writes, and compare with fresh weights and rivals.

    The new ones use new compositions, made-up operations or new names.
    """
    _, experiment = get_milestone_and_experiment(context, LanguageExperiment)
    made = draw_function_corpus(rng, documents=experiment.functions, prompts=experiment.prompts)
    prompts: dict[str, Sequence[Prompt]] = {figure: getattr(made, figure) for figure in PROMPT_SETS}
    cases = {figure: [draw_function_cases(prompt, rng) for prompt in prompts[figure]] for figure in PROMPT_SETS}
    run = _train_on_text(context, workers, seed, "functions", made.text, runs)

    def write_and_check_functions(prompt_count: int) -> dict[str, list[FunctionAttempt]]:
        """Have the network write the first functions of each set, and find the mistake in each, if any."""
        asked = [prompt for figure in PROMPT_SETS for prompt in prompts[figure][:prompt_count]]
        written = iter(_complete_prompts_shuffled(run, asked, FUNCTION_BYTES, rng))
        return {
            figure: [
                FunctionAttempt(
                    _decode_completion_start(completion),
                    _explain_unusable_text(completion) or find_completion_mistake(prompt, completion.text or "", some),
                )
                for prompt, some, completion in zip(
                    prompts[figure][:prompt_count], cases[figure], written, strict=False
                )
            ]
            for figure in PROMPT_SETS
        }

    trained = write_and_check_functions(experiment.prompts)
    common = _measure_with_fresh_weights(run)
    fresh = write_and_check_functions(experiment.fresh_prompts)
    figures = {
        figure: max(0.0, _compute_share_right(trained[figure]) - _compute_share_right(fresh[figure]))
        for figure in PROMPT_SETS
    }
    failures = {}
    for figure in PROMPT_SETS:
        shares = _compute_share_right(trained[figure]), _compute_share_right(fresh[figure])
        first = next((pair for pair in zip(prompts[figure], trained[figure], strict=True) if pair[1].mistake), None)
        prompt, tried = first or (prompts[figure][0], trained[figure][0])
        failures[figure] = explain_wrong_functions(figure, prompt, tried.written.strip(), tried.mistake, *shares)
    shown = [
        pair for figure in PROMPT_SETS for pair in zip(prompts[figure][:SHOWN_FUNCTIONS], trained[figure], strict=False)
    ]
    writings = [
        Writing(kind="function", prompt=prompt.text, written=tried.written, right=tried.mistake is None)
        for prompt, tried in shown
    ]
    prompt, tried = next((pair for pair in shown if pair[1].mistake is None), shown[0])
    pictures = _make_attention_pictures(run, prompt.text.encode(), tried.written.encode(), seed)
    ladders = measure_function_rivals(made, prompts, cases)
    return TextFindings(figures | common, failures, ladders, tuple(writings), pictures)


def _measure_story_writing(
    context: CheckContext, workers: Iterator[Worker], seed: int, rng: np.random.Generator, runs: list[TextRun]
) -> TextFindings:
    """Train on stories, add to ``runs``, and compare the true claims in new endings with fresh weights and rivals."""
    _, experiment = get_milestone_and_experiment(context, LanguageExperiment)
    made = draw_story_corpus(rng, documents=experiment.stories, prompts=experiment.story_prompts)
    run = _train_on_text(context, workers, seed, "stories", made.text, runs)

    def continue_stories(prompts: Sequence[Prompt]) -> list[str]:
        """Return the network's continuation of each prompt, in order."""
        return [completion.text or "" for completion in _complete_prompts_shuffled(run, prompts, STORY_BYTES, rng)]

    told = continue_stories(made.prompts)
    common = _measure_with_fresh_weights(run)
    few = made.prompts[: experiment.fresh_prompts]
    fresh = measure_true_claim_share(few, continue_stories(few))
    share = measure_true_claim_share(made.prompts, told)
    counts = [count_true_claims(prompt, text) for prompt, text in zip(made.prompts, told, strict=True)]
    index = next((index for index, (true, due) in enumerate(counts) if true < due), 0)
    failure = explain_false_claims(made.prompts[index], told[index], share, fresh)
    ladders = {"claims": measure_story_rivals(made)}
    (true, due), prompt = counts[0], made.prompts[0]
    writing = Writing(kind="story", prompt=prompt.text, written=told[0], right=true == due)
    return TextFindings({"claims": max(0.0, share - fresh)} | common, {"claims": failure}, ladders, (writing,))


def _measure_text_prediction(
    context: CheckContext,
    workers: Iterator[Worker],
    seed: int,
    rng: np.random.Generator,
    data: bytes,
    runs: list[TextRun],
) -> TextFindings:
    """Train on real text, add the run to ``runs``, and measure its bits per byte and its copied or repeated samples."""
    _, experiment = get_milestone_and_experiment(context, LanguageExperiment)
    made = hold_out_passages(data, rng)
    held_out = [passage.encode() for passage in made.held_out]
    run = _train_on_text(context, workers, seed, "text", made.text, runs, held_out)
    bits = _measure_bits_per_byte(run, experiment, rng)
    samples = _sample_text(run, made, experiment, rng)
    common = _measure_with_fresh_weights(run)
    ladder = measure_text_rivals(made.train.encode(), held_out)
    figures = {
        "bits_ratio": bits / ladder[UNIGRAM],
        "copied": measure_copied_share(samples, made.train),
        "repeated": measure_repeated_share(samples),
    }
    failures = explain_real_text_failures(figures, bits, ladder[UNIGRAM], samples)
    writing = Writing(kind="text", prompt=made.held_out[0][:SAMPLE_START], written=samples[0])
    return TextFindings(
        figures | common, failures, {BITS: ladder}, (writing,), (make_text_rival_picture(bits, ladder, seed),)
    )


def _complete_prompts_shuffled(
    run: TextRun, prompts: Sequence[Prompt], most_bytes: int, rng: np.random.Generator
) -> list[Completion]:
    """Complete prompts greedily in random order, so that sets of prompts look alike; return them in prompt order."""
    order = rng.permutation(len(prompts))
    shuffled = complete_greedily(run.writer, [prompts[index].text.encode() for index in order], most_bytes)
    back = dict(zip(order.tolist(), shuffled, strict=True))
    return [back[index] for index in range(len(prompts))]


def _measure_with_fresh_weights(run: TextRun) -> dict[str, float]:
    """Leave ``run.writer`` with fresh weights; return its loss ratio then, and the run's other shared figures."""
    run.writer.load_weights(run.own)
    return {
        "fresh_ratio": run.fresh_ratio,
        "forgotten": run.probe.measure_loss_ratio(run.writer),
        "causality": run.causality,
        "carried_difference": run.difference,
        "numbers": float(run.numbers),
    }


def _measure_bits_per_byte(run: TextRun, experiment: LanguageExperiment, rng: np.random.Generator) -> float:
    """Measure bits per byte on held-out tokens, each predicted from the tokens before it.

    Each request has one position from each passage, and the next request has later positions. So a program that stores
    the rows cannot find the answer for one row in another row, or in an earlier request.
    """
    before = experiment.context_tokens
    passages = [tokens for tokens in run.held_out if len(tokens) > before]
    rounds = -(-experiment.scored_tokens // len(passages))
    places = np.stack([np.sort(rng.integers(before, len(tokens), rounds)) for tokens in passages], axis=1)
    bits, size = 0.0, 0
    for row in places:
        asked = np.stack([tokens[place - before : place + 1] for tokens, place in zip(passages, row, strict=True)])
        probabilities = compute_softmax(run.writer.next_logits(list(asked[:, :-1])))
        bits -= np.log2(np.maximum(probabilities[np.arange(len(asked)), asked[:, -1]], 1e-12)).sum()
        size += sum(len(run.writer.table[token]) for token in asked[:, -1].tolist())
    return bits / size


def _sample_text(
    run: TextRun, passages: PassageSplit, experiment: LanguageExperiment, rng: np.random.Generator
) -> list[str]:
    """Sample what the network writes after the beginnings of held-out passages."""
    starts = [
        passages.held_out[number % len(passages.held_out)][:SAMPLE_START].encode()
        for number in range(experiment.samples)
    ]
    written = complete_by_sampling(run.writer, starts, experiment.sample_tokens, experiment.temperature, rng)
    return [completion.data.decode(errors="replace") for completion in written]


def _compute_share_right(attempts: Sequence[FunctionAttempt]) -> float:
    """Return the share of attempts without a mistake, or 0 if there are no attempts."""
    return sum(attempt.mistake is None for attempt in attempts) / max(1, len(attempts))


def _decode_completion_start(completion: Completion) -> str:
    """Decode the first 120 bytes of a completion as UTF-8, with replacement characters for invalid bytes."""
    return completion.data[:120].decode(errors="replace")


def _explain_unusable_text(completion: Completion) -> str | None:
    """Return why a completion cannot be run, or None if it can."""
    if completion.tied:
        return "two tokens have the same largest logit"
    if not completion.ended:
        return "it does not end"
    return "it is not UTF-8" if completion.text is None else None


def _make_attention_pictures(run: TextRun, prompt: bytes, written: bytes, seed: int) -> tuple[Picture, ...]:
    """Load the trained weights and draw what the network attends to as it writes; return () if it cannot be drawn.

    No figure depends on the maps.
    """
    try:
        run.writer.load_weights(run.learned)
        before = len(run.writer.encode(prompt))
        whole = run.writer.encode(prompt + written)[: before + MOST_ROWS]
        tokens = whole[-MOST_TOKENS - 1 :]
        count = min(len(whole) - before, len(tokens) - 1)
        if count < 1:  # it wrote nothing
            return ()
        (maps,) = run.writer.attention_maps(tokens[None, :-1])
    except (RemoteError, WorkerFailureError, RecipeError):
        return ()
    return (make_attention_picture(maps, [run.writer.table[token] for token in tokens.tolist()], count, seed),)


def _collect_pictures(
    figures: dict[str, float | None], findings: Sequence[TextFindings], seed: int
) -> tuple[Picture, ...]:
    """Return a picture of the rivals' results next to the network's, then each text's pictures, last text first."""
    ladders = {figure: ladder for one in findings for figure, ladder in one.ladders.items()}
    return (
        make_rival_picture(figures, ladders, seed),
        *(picture for one in reversed(findings) for picture in one.pictures),
    )


def _describe_rivals(findings: Sequence[TextFindings]) -> dict[str, str]:
    """For each figure that has rivals, describe their results on the same text, best first."""
    said = {}
    for figure, ladder in ((figure, ladder) for one in findings for figure, ladder in one.ladders.items()):
        bits = figure == BITS
        rungs = sorted(ladder.items(), key=lambda rung: rung[1] if bits else -rung[1])
        shown = ", ".join(f"{name} {value:.2f}" if bits else f"{name} {value:.0%}" for name, value in rungs)
        said[figure] = f"rivals on the same text{', in bits per byte' if bits else ''}: {shown}"
    return said
