"""Derive two generators from a printed seed: one for the grader's own draws, and one for a student's recipe.

A recipe can read its generator's seed. If the grader used the same seed, the recipe would know the order of the test
images, and how far each is shifted, before seeing any of them. So both generators are derived from the printed seed
with a function that nobody can invert and that is too slow to try with every seed.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

ROUNDS = 20_000
"""The number of hash rounds. They take a hundredth of a second for one seed, but months for all 2³¹ seeds."""


def make_grader_rng(seed: int, purpose: str = "run") -> np.random.Generator:
    """Make the generator for the grader's own draws, about which a student's generator reveals nothing."""
    return np.random.default_rng([*_stretch_seed(seed)[:16], *purpose.encode()])


def derive_student_seed(seed: int) -> int:
    """Derive the seed, below 2⁶³, of the generator that a recipe draws from."""
    return int.from_bytes(_stretch_seed(seed)[16:]) >> 1


@functools.lru_cache
def _stretch_seed(seed: int) -> bytes:
    """Derive 24 bytes from a seed, slowly, so that nobody can try many seeds."""
    return hashlib.pbkdf2_hmac("sha256", str(seed).encode(), b"tinytorch", ROUNDS, dklen=24)
