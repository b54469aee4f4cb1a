"""Stories of a small world, made from a run's seed: who has what, what happened to it, who goes home with what.

What happens is said with a made-up verb; which of four things it means, the training text alone tells. So the last two
sentences, the claims, can be checked against the rest, and neither a phrase nor a program made beforehand gets them
right. Some characters never meet in the training text, and those of each story that is asked are two of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from grading.language.corpus import Prompt, draw_words, join_documents

DOCUMENTS = 12_000
CHARACTERS = tuple("Ben Mia Tom Ada Sam Eva Max Zoe Jim Amy Leo Kim Dan Ida Bob Ann Tim Liv Joe Sue".split())
ANIMALS = tuple("dog cat pony duck goat hen frog mouse".split())
COLOURS = tuple("red blue black white green yellow brown pink grey golden".split())
THINGS = tuple("car kite ball boat drum hat lamp book cup bell".split())
COLOURED_THINGS = tuple(product(COLOURS, THINGS))
HELD_MEETINGS = 24
"""So many of the 190 pairs of characters have no story in the training text."""
HAVING = ("{who} had a {animal} and a {thing}.", "{who} had a {thing} and a {animal}.")
REMARKS = (
    "{owner} showed {other} the {thing}.",
    "{owner} put down the {thing}.",
    "{other} asked {owner} for the {thing}.",
    "{owner} fed the {animal}.",
    "{owner} called the {animal}.",
    "{other} liked {owner} and the {animal}.",
)
"""All can be foreseen from who has what once they have named the owner: so more than the claims teaches that."""
EVENTS = ("swap", "give", "take", "keep")
"""The first and the second swap their things; the first gives its thing, or takes the second's; each keeps its own."""
CLAIM = re.compile(r"(?:At night )?([A-Z][a-z]+) went home with ([a-z, ]+)\.")


@dataclass(frozen=True, eq=False)
class Stories:
    """The training text, and prompts that are not in it: each ends with what happened."""

    documents: tuple[str, ...]
    text: np.ndarray
    prompts: tuple[Prompt, ...]
    verbs: dict[str, str]
    """The word for each event."""


def draw_stories(rng: np.random.Generator, *, documents: int = DOCUMENTS, prompts: int = 100) -> Stories:
    """A training text of so many stories, and so many prompts with characters that do not meet in it."""
    known = [*CHARACTERS, *ANIMALS, *COLOURS, *THINGS, *" ".join((*REMARKS, *HAVING)).split()]
    words = draw_words(len(EVENTS), rng, [word.lower() for word in known])
    verbs = {event: word + "ed" for event, word in zip(EVENTS, words, strict=True)}
    meetings = list(combinations(CHARACTERS, 2))
    order = rng.permutation(len(meetings))
    held, seen = ([meetings[index] for index in part] for part in (order[:HELD_MEETINGS], order[HELD_MEETINGS:]))

    text = tuple(one.text + one.answer for one in (_tell(rng, verbs, seen) for _ in range(documents)))
    return Stories(text, join_documents(text), tuple(_tell(rng, verbs, held) for _ in range(prompts)), verbs)


def _tell(rng: np.random.Generator, verbs: dict[str, str], meetings: list[tuple[str, str]]) -> Prompt:
    """One story, cut behind what happened."""
    draw = iter(rng.random(24).tolist())

    def pick(items):
        return items[int(next(draw) * len(items))]

    def pick_two(items):
        first = int(next(draw) * len(items))
        second = (first + 1 + int(next(draw) * (len(items) - 1))) % len(items)
        return items[first], items[second]

    who, animals = pick_two(pick(meetings)), pick_two(ANIMALS)
    things = [f"{colour} {thing}" for colour, thing in pick_two(COLOURED_THINGS)]
    event = pick(EVENTS)
    sentences = [
        pick(HAVING).format(who=one, animal=animal, thing=thing)
        for one, animal, thing in zip(who, animals, things, strict=True)
    ]
    for _ in range(pick((0, 1))):
        side = pick((0, 1))
        names = {"owner": who[side], "other": who[1 - side]}
        sentences.append(pick(REMARKS).format(**names, animal=animals[side], thing=things[side]))
    sentences.append(f"{who[0]} {verbs[event]} {who[1]}.")

    first, second = {
        "swap": (things[1:], things[:1]),
        "give": ([], things),
        "take": (things, []),
        "keep": (things[:1], things[1:]),
    }[event]
    homes = [_go_home(*each) for each in zip(who, animals, (first, second), strict=True)]
    return Prompt(" ".join(sentences), f" At night {' '.join(homes)}")


def _go_home(who: str, animal: str, things: list[str]) -> str:
    *most, last = [f"the {each}" for each in (animal, *things)]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"{who} went home with {listed}."


def find_claims(completion: str) -> list[tuple[str, frozenset[str]]]:
    """Who went home with what, as the sentences of a completion say it: ("Ben", {"the dog", "the red kite"})."""
    found = []
    for match in CLAIM.finditer(completion):
        things = [thing for part in match[2].split(", ") for thing in part.split(" and ")]
        # What is named twice is not what somebody has.
        found.append((match[1], frozenset(things) if len(set(things)) == len(things) else frozenset()))
    return found


def count_true_claims(prompt: Prompt, completion: str) -> tuple[int, int]:
    """How many claims of a completion are true, and of how many: the two that are due, or more if it makes more."""
    true = dict(find_claims(prompt.answer))
    claims = find_claims(completion)
    right = {who for who, things in claims if true.get(who) == things}
    wrong = {who for who, things in claims if true.get(who) != things}
    return len(right - wrong), max(len(true), len(claims))


def share_of_true_claims(prompts: Iterable[Prompt], completions: Iterable[str]) -> float:
    """The share of the claims of all completions that are true."""
    counts = [count_true_claims(*pair) for pair in zip(prompts, completions, strict=True)]
    return sum(true for true, _ in counts) / max(1, sum(due for _, due in counts))
