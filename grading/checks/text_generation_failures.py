"""Describe failures in milestone 5: what was measured, what is required, and a first hint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grading.checks.student_network import explain_failed_recipe
from grading.language.documents import Prompt
from grading.manifest.model import Milestone
from grading.result import Failure

SAMPLE_CHARACTERS = 200
"""The number of characters of a sample that a failure quotes."""
TITLES = {
    "compositions": "Functions with new compositions do what their docstrings say",
    "made_up": "Functions with this run's made-up operations do what their docstrings say",
    "names": "Functions with new names do what their docstrings say",
}
HINTS = {
    "compositions": "Each part was learned in other combinations. If names work and compositions do not, train "
    "longer or add a third block. Copying constants is learned last.",
    "made_up": "The words occur only in the training text. Does learn_merges use that text and no other?",
    "names": "Copying a name from the signature requires attention. Is the mask causal, and does each position have "
    "its own embedding?",
}


def explain_wrong_functions(
    figure_name: str,
    prompt: Prompt,
    written: str,
    mistake: str | None,
    share_right: float,
    untrained_share_right: float,
) -> Failure:
    """Describe the failure to report if too few functions are correct, and quote one that was written."""
    return Failure(
        title=TITLES[figure_name],
        call=prompt.text,
        got=f"{written or 'nothing'}: {mistake or 'correct'} "
        f"({share_right:.0%} of the functions are correct{_describe_untrained_share(untrained_share_right)})",
        expected=prompt.answer.strip(),
        hint=HINTS[figure_name],
    )


def explain_false_claims(prompt: Prompt, ending: str, share_true: float, untrained_share_true: float) -> Failure:
    """Describe the failure to report if too few of the stories' claims are true, and quote one ending."""
    return Failure(
        title="The claims at the end of a story are true",
        call=prompt.text,
        got=f"{ending.strip() or 'no ending'} "
        f"({share_true:.0%} of all claims are true{_describe_untrained_share(untrained_share_true)})",
        expected=prompt.answer.strip(),
        hint="Can attention reach the first sentence? Each training window must start where a story starts and "
        "contain all of it.",
    )


def explain_real_text_failures(
    figures: Mapping[str, float], network_bits: float, unigram_bits: float, samples: Sequence[str]
) -> dict[str, Failure]:
    """For each figure on real text, describe the failure to report if the figure misses its threshold."""
    shown = f"“{samples[0][:SAMPLE_CHARACTERS]}…”"
    return {
        "bits_ratio": Failure(
            title="It predicts text that it has never seen",
            got=f"{network_bits:.2f} bits per byte; a model that knows only token frequencies reaches "
            f"{unigram_bits:.2f}",
            expected=f"at most {0.65 * unigram_bits:.2f} bits per byte",
            hint="If the loss is still falling at the end of its curve, take more steps or raise the learning rate.",
        ),
        "copied": Failure(
            title="Its text is original",
            got=f"{figures['copied']:.0%} of all sequences of eight words are in the training text: {shown}",
            expected="at most 10%",
            hint="It has memorised the text. Use a smaller network or fewer steps.",
        ),
        "repeated": Failure(
            title="It does not repeat itself",
            got=f"{figures['repeated']:.0%} of all four-word sequences occurred earlier in the same sample: {shown}",
            expected="at most 20%",
            hint="A network that has learned little repeats itself. Does its loss fall at all?",
        ),
    }


def explain_shared_text_failures(figures: Mapping[str, float | None]) -> dict[str, Failure]:
    """For each figure that all three texts share, describe the failure to report if the figure misses its threshold."""
    return {
        "fresh_ratio": Failure(
            title="An untrained network considers all tokens about equally likely",
            got=f"a loss of {figures['fresh_ratio']:.2f} times that of equal probabilities, before any training",
            expected="at least 0.9 times",
            hint="build must draw every weight at random from rng, with a small enough spread. It must not contain "
            "anything taken from a text.",
        ),
        "forgotten": Failure(
            title="With fresh weights restored, it knows nothing again",
            got=f"a loss of {figures['forgotten']:.2f} times that of equal probabilities, with weights that were "
            "never trained",
            expected="at least 0.9 times: all that was learned is in parameters() and buffers()",
            hint="logits must be computed from the current weights, through their .data, in every call.",
        ),
        "causality": Failure(
            title="No token sees a later one",
            call="logits(network, tokens), and next_logits(network, tokens[:, :n])",
            got=f"a logit that changes by {figures['causality']:.2g} when later tokens change or are left out",
            expected="at most 0.0001",
            hint="Use the causal mask in attention, in training and afterwards. Do not cut off tokens at the "
            "beginning.",
        ),
        "carried_difference": Failure(
            title="The weights alone give the same answers in another process",
            got=f"probabilities that differ by {figures['carried_difference']:.3f}",
            expected="the same probabilities from parameters(), buffers() and merges alone",
            hint="Every array that training changes must be in parameters() or buffers(), used through its .data.",
        ),
        "numbers": Failure(
            title="The network is of a sensible size",
            got=f"{figures['numbers']:,.0f} numbers in parameters(), buffers() and merges",
            expected="fewer: enough for what was learned, but not for a copy of the training data",
            hint="64 features, three blocks and 512 tokens are enough, with the embedding's weight shared by the head.",
        ),
    }


def explain_failed_text(error: Exception, milestone: Milestone, text_name: str) -> Failure:
    """Describe the failure of a recipe that did not finish on this text."""
    when_slow = "Are the windows as long as a document and no longer, and is the number of steps moderate?"
    return explain_failed_recipe(error, milestone, text_name, when_slow)


def _describe_untrained_share(untrained_share: float) -> str:
    """Return text like `, and 3% with weights that were never trained`, or "" if the share is 0."""
    return f", and {untrained_share:.0%} with weights that were never trained" if untrained_share else ""
