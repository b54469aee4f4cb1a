"""Stories of a small world, made from a run's seed: who has what, what happened to it, who goes home with what.

What happens is said with a made-up verb; which of three things it means, the training text alone tells. So the last two
sentences, the claims, can be checked against the rest, and neither a phrase nor a program made beforehand gets them
right. Some pairs of a colour and a thing are never in the training text, and each story that is asked has two of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from grading.language.corpus import Prompt, draw_words, join_documents

DOCUMENTS = 12_000
CHARACTERS = tuple("Ben Mia Tom Ada Sam Eva Max Zoe Jim Amy Leo Kim Dan Ida Bob Ann Tim Liv Joe Sue".split())
ANIMALS = tuple("dog cat pony duck goat hen frog mouse".split())
COLOURS = tuple("red blue black white green yellow brown pink grey golden".split())
THINGS = tuple("car kite ball boat drum hat lamp book cup bell".split())
HELD_PAIRS = 15
"""So many of the 100 pairs of colour and thing are not in the training text."""
HAVING = ("{who} had a {animal} and a {colour} {thing}.", "{who} had a {colour} {thing} and a {animal}.")
REMARKS = (
    "The sun was warm.",
    "It rained a little.",
    "They met at the river.",
    "They met near the old tree.",
    "They sat on a wall.",
    '"What a day," said {who}.',
    '"I like your {animal}," said {who}.',
    "{who} was hungry.",
    "{who} told a joke.",
    "They laughed.",
    "A bird sang.",
    "They walked for an hour.",
)
EVENTS = ("swap", "give", "keep")
"""They swap their things; the first gives the second a thing; each keeps it."""
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
    """A training text of so many stories, and so many prompts with pairs of colour and thing that it does not have."""
    known = [*CHARACTERS, *ANIMALS, *COLOURS, *THINGS, *" ".join((*REMARKS, *HAVING)).split()]
    words = draw_words(len(EVENTS), rng, [word.lower() for word in known])
    verbs = {event: word + "ed" for event, word in zip(EVENTS, words, strict=True)}
    pairs = [(colour, thing) for colour in COLOURS for thing in THINGS]
    order = rng.permutation(len(pairs))
    held, seen = ([pairs[index] for index in part] for part in (order[:HELD_PAIRS], order[HELD_PAIRS:]))

    text = tuple(one.text + one.answer for one in (_tell(rng, verbs, seen) for _ in range(documents)))
    return Stories(text, join_documents(text), tuple(_tell(rng, verbs, held) for _ in range(prompts)), verbs)


def _tell(rng: np.random.Generator, verbs: dict[str, str], pairs: list[tuple[str, str]]) -> Prompt:
    """One story, cut behind what happened."""
    draws = rng.random(24).tolist()
    draw = iter(draws)

    def pick(items):
        return items[int(next(draw) * len(items))]

    def pick_two(items):
        first = int(next(draw) * len(items))
        second = (first + 1 + int(next(draw) * (len(items) - 1))) % len(items)
        return items[first], items[second]

    who, animals, things = pick_two(CHARACTERS), pick_two(ANIMALS), pick_two(pairs)
    event = pick(EVENTS)
    sentences: list[str] = []
    for one, animal, (colour, thing) in zip(who, animals, things, strict=True):
        said = pick(HAVING).format(who=one, animal=animal, colour=colour, thing=thing)
        sentences.insert(int(next(draw) * (len(sentences) + 1)), said)
    for _ in range(pick((1, 2, 3))):
        speaker = int(next(draw) * 2)
        remark = pick(REMARKS).format(who=who[speaker], animal=animals[1 - speaker])
        sentences.insert(int(next(draw) * (len(sentences) + 1)), remark)
    first = int(next(draw) * 2)
    sentences.append(f"{who[first]} {verbs[event]} {who[1 - first]}.")

    owned: tuple[list, list] = ([things[0]], [things[1]])
    if event == "swap":
        owned = owned[::-1]
    elif event == "give":
        owned[1 - first].extend(owned[first])
        owned[first].clear()
    homes = [f"{who[side]} went home with {_list_things(animals[side], owned[side])}." for side in (0, 1)]
    return Prompt(" ".join(sentences), f" At night {' '.join(homes)}")


def _list_things(animal: str, things: list[tuple[str, str]]) -> str:
    *most, last = [f"the {animal}", *(f"the {colour} {thing}" for colour, thing in things)]
    return f"{', '.join(most)} and {last}" if most else last


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
