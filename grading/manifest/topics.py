"""Troubleshooting topics: the headings of docs/milestone-troubleshooting.md, and the failures that they help with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grading.manifest.model import Milestone, make_heading_slug
from grading.manifest.problems import MANIFEST_FILE, ManifestError, Problem
from grading.result import CriterionResult, CriterionStatus, Failure

DOCUMENT = Path("docs", "milestone-troubleshooting.md")
HEADING = re.compile(r"(#{1,6}) +(.+?) *#*")

TOPIC_SIGNS = {
    "The file must be valid Python": "python-cannot-read-a-file",
    "SyntaxError": "python-cannot-read-a-file",
    "NotImplementedError": "a-task-is-not-written-yet",
    "ImportError": "an-import-fails",
    "ModuleNotFoundError": "an-import-fails",
    "TypingError": "numba-does-not-compile-a-function",
    "UnsupportedBytecodeError": "numba-does-not-compile-a-function",
    "LoweringError": "numba-does-not-compile-a-function",
    "The recipe builds, trains and predicts … no answer within": "training-does-not-end-in-time",
    "no answer within": "it-takes-too-long-or-never-ends",
    "of CPU time": "it-takes-too-long-or-never-ends",
    "of wall time": "it-takes-too-long-or-never-ends",
    "stopped listening": "it-takes-too-long-or-never-ends",
    "MemoryError": "memory-runs-out",
    "MB of memory": "memory-runs-out",
    "ended the program": "the-program-ended-before-it-answered",
    "crashed Python": "the-program-ended-before-it-answered",
    "closed the pipe": "the-program-ended-before-it-answered",
    "NaN or infinity": "the-loss-is-nan",
    "tokens that stand for": "the-tokenizer-is-refused",
    "a merge of a token that does not exist yet": "the-tokenizer-is-refused",
    "two tokens that both stand for": "the-tokenizer-is-refused",
    "a token of … bytes: ": "the-tokenizer-is-refused",
    "which is not installed": "numba-is-not-installed",
    "official grading needs a sandbox": "the-sandbox-is-missing",
    "as good as always answering 0.5": "the-loss-stays-at-0693",
    "better than always answering 0.5": "the-loss-falls-but-not-far-enough",
    "worse than always answering 0.5": "predictions-do-not-follow-the-labels",
    "::test_recipe_builds_from": "fresh-weights-already-know",
    "::test_recipe_starts_without_knowledge": "fresh-weights-already-know",
    "::test_recipe_is_at_chance_before_training": "fresh-weights-already-know",
    "::test_recipe_predictions_come_from_the_parameters": "predictions-do-not-depend-on-the-weights",
    "::test_recipe_stands_noise": "right-on-four-points-but-wrong-with-noise",
    "::test_recipe_predicts_alike_optimised": "the-optimised-network-gives-different-answers",
    "::test_recipe_in_int8": "int8-loses-too-much",
    "modules/06_spatial/ … ::test_recipe_learns_a_simple_task": "accuracy-on-mnist-is-too-low",
    "modules/06_spatial/ … ::test_recipe_learns_where_a_square_is": "accuracy-on-mnist-is-too-low",
    "modules/11_training/ … ::test_recipe_learns_a_simple_task": "accuracy-on-cifar-10-is-too-low",
    "modules/13_kernels/ … ::test_recipe_learns_a_simple_task": "accuracy-on-cifar-10-is-too-low",
    "modules/06_spatial/ … ::test_recipe_trains": "accuracy-on-mnist-is-too-low",
    "modules/11_training/ … ::test_recipe_trains": "training-does-not-converge",
    "modules/13_kernels/ … ::test_recipe_trains": "training-does-not-converge",
}
"""The topic for each text. The text may be in a failure's title, in the value that was returned, in the test's name, or
in a grader's error. A … stands for anything between two texts. A recipe's own tests fail before its criterion is
measured, so each of them leads to the symptom's topic.
"""


@dataclass(frozen=True)
class Topic:
    """A third-level heading, and the Markdown below it."""

    slug: str
    heading: str
    text: str
    line: int


def read_topics(root: Path) -> dict[str, Topic]:
    """Read all topics, keyed by slug. Raise ManifestError for an unreadable document or a duplicate heading."""
    try:
        lines = (root / DOCUMENT).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{DOCUMENT.as_posix()}, whose headings are the troubleshooting topics, cannot be read: {why}."
        raise ManifestError([Problem(MANIFEST_FILE, 1, message, "Put the file back.")]) from None
    starts = [(number, found) for number, found in _iterate_markdown_headings(lines) if len(found[1]) <= 3]
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    topics: dict[str, Topic] = {}
    for (number, found), end in zip(starts, ends, strict=True):
        if len(found[1]) < 3:
            continue
        name = make_heading_slug(found[2])
        if name in topics:
            message = f"the heading “{found[2]}” is also on line {topics[name].line}."
            raise ManifestError([Problem(DOCUMENT.as_posix(), number + 1, message, "Rename one of the two.")])
        topics[name] = Topic(name, found[2], "\n".join(lines[number + 1 : end]).strip(), number + 1)
    return topics


def find_troubleshooting_topics(milestone: Milestone, criteria: Iterable[CriterionResult]) -> tuple[str, ...]:
    """Return the slugs of the topics that help with the unmet criteria, in the order of the criteria.

    For a failure that shows its cause (an unreadable file, a call that never ends), the cause's topic comes first, then
    the criterion's topic. For an error of the grader, there is only the topic of its cause.
    """
    own = {criterion.name: criterion.topic for criterion in milestone.criteria}
    found: dict[str, None] = {}
    for criterion in criteria:
        if criterion.status is CriterionStatus.ERROR:
            found |= dict.fromkeys(_match_topic_signs(criterion.explanation or ""))
        if criterion.status is not CriterionStatus.FAILED:
            continue
        slugs = [
            *(topic for failure in criterion.failures for topic in _find_failure_topics(failure)),
            own.get(criterion.name),
        ]
        found |= dict.fromkeys(name for name in slugs if name)
    return tuple(found)


def _find_failure_topics(failure: Failure) -> list[str]:
    """Return the slugs of the topics whose signs occur in a failure's title, value or test."""
    return _match_topic_signs(f"{failure.title}\n{failure.got or ''}\n{failure.test or ''}")


def _match_topic_signs(failure_text: str) -> list[str]:
    """Return the slugs of the topics whose signs occur in a failure's text, in the order of TOPIC_SIGNS."""
    return [topic for sign, topic in TOPIC_SIGNS.items() if all(part in failure_text for part in sign.split(" … "))]


def _iterate_markdown_headings(lines: list[str]) -> Iterable[tuple[int, re.Match]]:
    """Yield pairs of a line's index, from 0, and the match of its heading, for headings outside code blocks."""
    fenced = False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and (found := HEADING.fullmatch(line)):
            yield number, found
