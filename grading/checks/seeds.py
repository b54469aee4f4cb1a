"""What a printed seed begins: the grader's own draws, and the generator that a student's recipe is given.

A recipe can read its generator's seed. Were it the grader's own, it would know which test images come in which order,
and by how much each is moved, before it has seen one. So both come from the seed by a function that nobody turns
round, and that is too slow to try all seeds with.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

ROUNDS = 20_000
"""A hundredth of a second: nothing for us, and months for who would try 2³¹ seeds."""


def own_draws(seed: int, purpose: str = "run") -> np.random.Generator:
    """The grader's draws; no generator of a student's tells anything of them."""
    return np.random.default_rng([*_stretched(seed)[:16], *purpose.encode()])


def student_seed(seed: int) -> int:
    """The seed of what a recipe draws from, below 2⁶³."""
    return int.from_bytes(_stretched(seed)[16:]) >> 1


@functools.lru_cache
def _stretched(seed: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", str(seed).encode(), b"tinytorch", ROUNDS, dklen=24)
