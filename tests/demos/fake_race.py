"""A race without a worker, and a network that guesses, for the tests of demonstration 4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grading.demos import kernel_race
from tests.demos.test_digits_demo import GuessingNetwork


class CompressibleGuesser(GuessingNetwork):
    """A guessing network that can be compressed, and then answers nearly the same."""

    nbytes = 40_000

    def copy_weights(self) -> CompressibleGuesser:
        """Return this network, which has its own bytes."""
        return self

    def compress(self, images: np.ndarray) -> CompressibleGuesser:
        """Make a copy with a quarter of the bytes."""
        small = CompressibleGuesser(outputs=10)
        small.nbytes, small.shown = self.nbytes // 4, [images]
        return small


@dataclass
class FakeClock:
    """Replaces a worker: time passes only in turns."""

    now: float = 0.0
    steps: int = 0

    def read_clock(self) -> float:
        """Return the seconds that have passed."""
        return self.now

    def pass_time(self, seconds: float) -> None:
        """Let some seconds pass."""
        self.now += seconds


class FakeTrainingStep:
    """Replaces a training step, which takes 40 ms, or 20 ms with fast kernels."""

    seconds = 0.04

    def __init__(self, clock: FakeClock | None, *_: object):
        self._clock = clock or FakeClock()

    def switch_to_fast_kernels(self) -> None:
        """Halve the time of a step."""
        self.seconds /= 2

    def run(self) -> None:
        """Take one step."""
        self._clock.pass_time(self.seconds)

    def profile(self) -> kernel_race.Profile:
        """Return twelve ops, one of them only before optimising and one only after."""
        own = "batch_norm" if self.seconds == FakeTrainingStep.seconds else "batch_norm_relu backward"
        return {own: 0.002, "conv2d": self.seconds / 2, **{f"op {i}": 0.0001 * i for i in range(1, 11)}}


def make_fake_loop_turn(clock: FakeClock | None, *_: object):
    """Make a function that stands for the loop convolution and takes 80 ms of the fake clock per image."""
    return lambda: clock.pass_time(0.08)
