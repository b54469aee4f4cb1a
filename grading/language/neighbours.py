"""A rival without a network, which copies the nearest training document, unchanged or with the prompt's words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"\w+")


class NearestNeighbour:
    """A search for the document whose beginning shares the most words with a prompt. Rare words count more."""

    def __init__(self, documents: Sequence[str], prompt_pattern: re.Pattern):
        """Index the documents. ``prompt_pattern`` matches the part of a document that a prompt contains."""
        self._documents = [
            (match[0], document[match.end() :]) for document in documents if (match := prompt_pattern.match(document))
        ]
        places: dict[str, list[int]] = defaultdict(list)
        for place, (beginning, _) in enumerate(self._documents):
            for word in set(WORD.findall(beginning)):
                places[word].append(place)
        self._places = {word: np.array(where) for word, where in places.items()}

    def complete_like_nearest(self, prompt: str, *, substitute: bool) -> str:
        """Return the rest of the document whose start shares the most words with the prompt, weighted by rarity.

        If ``substitute`` is set, insert the prompt's own words.
        """
        scores = np.zeros(len(self._documents))
        words = WORD.findall(prompt)
        for word in set(words):
            if (places := self._places.get(word)) is None:
                continue
            scores[places] += np.log(1 + len(self._documents) / (1 + len(places)))
        beginning, rest = self._documents[int(scores.argmax())]
        if not substitute:
            return rest
        instead: dict[str, str] = {}
        for old, new in zip(WORD.findall(beginning), words, strict=False):
            instead.setdefault(old, new)
        return WORD.sub(lambda match: instead.get(match[0], match[0]), rest)
