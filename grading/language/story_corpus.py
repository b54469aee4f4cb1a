"""Generate stories about a small world from a run's seed: who has what, what happens, and who goes home with what.

A made-up verb describes what happens, and only the training text shows which of four events the verb means. The last
two sentences, the claims, can be checked against the rest of the story. No phrase or program that was prepared
beforehand gets the claims right. Some pairs of characters never meet in the training text, and each prompt is about one
of these pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from grading.language.documents import Prompt, encode_documents, make_up_words

DOCUMENTS = 12_000
CHARACTERS = tuple("Ben Mia Tom Ada Sam Eva Max Zoe Jim Amy Leo Kim Dan Ida Bob Ann Tim Liv Joe Sue".split())
ANIMALS = tuple("dog cat pony duck goat hen frog mouse".split())
COLOURS = tuple("red blue black white green yellow brown pink grey golden".split())
THINGS = tuple("car kite ball boat drum hat lamp book cup bell".split())
COLOURED_THINGS = tuple(product(COLOURS, THINGS))
HELD_MEETINGS = 24
"""The number of pairs of characters, out of 190, that have no story in the training text."""
HAVING = ("{who} had a {animal} and a {thing}.", "{who} had a {thing} and a {animal}.")
REMARKS = (
    "{owner} showed {other} the {thing}.",
    "{owner} put down the {thing}.",
    "{other} asked {owner} for the {thing}.",
    "{owner} fed the {animal}.",
    "{owner} called the {animal}.",
    "{other} liked {owner} and the {animal}.",
)
"""Remarks.

Once a remark names the owner, the rest follows from who has what, so remarks teach ownership as well as claims do.
"""
EVENTS = ("swap", "give", "take", "keep")
"""The events. The two characters swap things, the first gives the second a thing or takes the second's, or both keep
their own.
"""
CLAIM = re.compile(r"(?:At night )?([A-Z][a-z]+) went home with ([a-z, ]+)\.")


@dataclass(frozen=True, eq=False)
class StoryCorpus:
    """The training text, and prompts for stories that are not in it. Each prompt ends with the event."""

    documents: tuple[str, ...]
    text: np.ndarray
    prompts: tuple[Prompt, ...]
    verbs: dict[str, str]
    """The made-up verb for each event."""


def draw_story_corpus(rng: np.random.Generator, *, documents: int = DOCUMENTS, prompts: int = 100) -> StoryCorpus:
    """Draw a training text of stories, and prompts about characters that never meet in it."""
    known = [*CHARACTERS, *ANIMALS, *COLOURS, *THINGS, *" ".join((*REMARKS, *HAVING)).split()]
    words = make_up_words(len(EVENTS), rng, [word.lower() for word in known])
    verbs = {event: word + "ed" for event, word in zip(EVENTS, words, strict=True)}
    meetings = list(combinations(CHARACTERS, 2))
    order = rng.permutation(len(meetings))
    held, seen = ([meetings[index] for index in part] for part in (order[:HELD_MEETINGS], order[HELD_MEETINGS:]))

    text = tuple(one.text + one.answer for one in (_draw_story(rng, verbs, seen) for _ in range(documents)))
    return StoryCorpus(
        text, encode_documents(text), tuple(_draw_story(rng, verbs, held) for _ in range(prompts)), verbs
    )


def _draw_story(rng: np.random.Generator, verbs: dict[str, str], meetings: list[tuple[str, str]]) -> Prompt:
    """Draw one story as a prompt, which ends after the story's event; the rest is its answer."""
    draw = iter(rng.random(24).tolist())

    def pick_one(items: Sequence[Any]) -> Any:
        """Pick an item with the next drawn number."""
        return items[int(next(draw) * len(items))]

    def pick_two_different(items: Sequence[Any]) -> tuple[Any, Any]:
        """Pick two different items."""
        first = int(next(draw) * len(items))
        second = (first + 1 + int(next(draw) * (len(items) - 1))) % len(items)
        return items[first], items[second]

    who, animals = pick_two_different(pick_one(meetings)), pick_two_different(ANIMALS)
    things = [f"{colour} {thing}" for colour, thing in pick_two_different(COLOURED_THINGS)]
    event = pick_one(EVENTS)
    sentences = [
        pick_one(HAVING).format(who=one, animal=animal, thing=thing)
        for one, animal, thing in zip(who, animals, things, strict=True)
    ]
    for _ in range(pick_one((0, 1))):
        side = pick_one((0, 1))
        names = {"owner": who[side], "other": who[1 - side]}
        sentences.append(pick_one(REMARKS).format(**names, animal=animals[side], thing=things[side]))
    sentences.append(f"{who[0]} {verbs[event]} {who[1]}.")

    first, second = {
        "swap": (things[1:], things[:1]),
        "give": ([], things),
        "take": (things, []),
        "keep": (things[:1], things[1:]),
    }[event]
    homes = [_format_claim(*each) for each in zip(who, animals, (first, second), strict=True)]
    return Prompt(" ".join(sentences), f" At night {' '.join(homes)}")


def _format_claim(character: str, animal: str, things: list[str]) -> str:
    """Format the sentence that lists what a character goes home with."""
    *most, last = [f"the {each}" for each in (animal, *things)]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"{character} went home with {listed}."


def parse_claims(completion: str) -> list[tuple[str, frozenset[str]]]:
    """List each claim as ("Ben", {"the dog", "the red kite"}); a claim that names a thing twice gets an empty set."""
    found = []
    for match in CLAIM.finditer(completion):
        things = [thing for part in match[2].split(", ") for thing in part.split(" and ")]
        # A claim that contains the same thing twice cannot be true.
        found.append((match[1], frozenset(things) if len(set(things)) == len(things) else frozenset()))
    return found


def count_true_claims(prompt: Prompt, completion: str) -> tuple[int, int]:
    """Count characters with only true claims, and the claims that the completion should make or, if more, does make."""
    true = dict(parse_claims(prompt.answer))
    claims = parse_claims(completion)
    right = {who for who, things in claims if true.get(who) == things}
    wrong = {who for who, things in claims if true.get(who) != things}
    return len(right - wrong), max(len(true), len(claims))


def measure_true_claim_share(prompts: Iterable[Prompt], completions: Iterable[str]) -> float:
    """Measure the share of claims that are true, over all completions; a missing claim counts as false."""
    counts = [count_true_claims(*pair) for pair in zip(prompts, completions, strict=True)]
    return sum(true for true, _ in counts) / max(1, sum(due for _, due in counts))
