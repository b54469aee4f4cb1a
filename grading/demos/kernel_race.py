"""A race between the student's three convolutions: plain loops, module 06 and module 13.

Each lane gets the same processor time. The race ends when one lane has finished all images. The race is only a
demonstration: the milestone's check measures the speed-up separately.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grading.checks.kernel_speed import build_step_network
from grading.checks.reference_step import StepShape
from grading.checks.student_network import RecipeError
from grading.client import Worker
from grading.render.text import to_one_line
from grading.testing import expect

BATCH = 64
CHANNELS = (16, 32, 64)
"""The output channels of the network's three blocks of convolution, batch normalisation, ReLU and max pooling."""
RACE_IMAGES = 4096
"""The number of images that a lane must process to finish the race."""
SECONDS = 2.5
"""The processor time of each lane in seconds, unless one lane finishes earlier."""
PROFILED_STEPS = 7
"""The number of steps that are profiled. A profile shows each op's fastest time."""
MAX_OPS, MAX_NAME = 200, 24

Profile = Mapping[str, float]
"""The time that each op takes in a training step, in seconds, keyed by the op's name."""


@dataclass(frozen=True)
class RaceLane:
    """One of the three convolutions, and its progress in the race."""

    name: str
    job: str
    images: int = 0
    seconds: float = 0.0
    """The processor time used so far."""

    @property
    def done_share(self) -> float:
        """The fraction of the race that is done, from 0 to 1."""
        return min(self.images / RACE_IMAGES, 1.0)

    @property
    def images_per_second(self) -> float:
        """The number of images per second of processor time so far, or 0 before the first turn."""
        return self.images / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class RaceState:
    """The state of the race: its stage, its lanes, and at the end the profiles of both networks."""

    stage: str
    lanes: tuple[RaceLane, ...]
    before: Profile | None = None
    after: Profile | None = None

    @property
    def speed_up(self) -> float | None:
        """Module 13's speed divided by module 06's, or None until both are timed."""
        *_, plain, fast = (lane.images_per_second for lane in self.lanes)
        return fast / plain if plain and fast else None


LANES = (
    RaceLane("loops", "conv2d_naive: only a forward pass through the first convolution"),
    RaceLane("module 06", "complete training steps of a 16-32-64 network"),
    RaceLane("module 13", "the same steps, after optimise(network)"),
)


def run_kernel_race(
    worker: Worker, images: np.ndarray, labels: np.ndarray, seed: int, on_progress: Callable[[RaceState], None]
) -> RaceState:
    """Race convolution in loops and training with modules 06 and 13 on uint8 images (n, 3, 32, 32); profile training.

    ``on_progress`` receives each new state. Exceptions in student code are not caught.
    """
    standing = RaceState("Module 06 is taking its first step.", LANES)
    on_progress(standing)
    inputs = ((images[:BATCH] - np.float32(127.5)) / 64).astype(np.float32)
    plain, fast = (TrainingStep(worker, inputs, labels[:BATCH]) for _ in range(2))
    plain.run()
    on_progress(
        standing := replace(
            standing, stage="Numba is compiling module 13's loops, which takes a few seconds, but only once."
        )
    )
    fast.switch_to_fast_kernels()
    fast.run()
    turns = ((_make_loop_convolution_turn(worker, inputs, seed), 1), (plain.run, len(inputs)), (fast.run, len(inputs)))
    lanes = list(LANES)
    while max(lane.images for lane in lanes) < RACE_IMAGES and min(lane.seconds for lane in lanes) < SECONDS:
        behind = min(range(len(lanes)), key=lambda place: lanes[place].seconds)
        turn, count = turns[behind]
        started = worker.read_clock()
        turn()
        lane = lanes[behind]
        taken = lane.seconds + worker.read_clock() - started
        lanes[behind] = replace(lane, images=lane.images + count, seconds=taken)
        on_progress(standing := RaceState("Each lane gets the same processor time.", tuple(lanes)))
    profiles = [_take_fastest_times([step.profile() for _ in range(PROFILED_STEPS)]) for step in (plain, fast)]
    on_progress(standing := replace(standing, stage="", before=profiles[0], after=profiles[1]))
    return standing


class TrainingStep:
    """A training step with the student's modules, on its own network and always on the same images."""

    def __init__(self, worker: Worker, inputs: np.ndarray, labels: np.ndarray):
        self._worker = worker
        self._network, parameters = build_step_network(worker, StepShape(len(inputs), inputs.shape[2], CHANNELS))
        self._optimizer = worker.call(worker.module("optimizers"), "SGD", parameters, lr=0.01)
        self._criterion = worker.call(worker.module("dense"), "CrossEntropyLoss")
        self._batch = [worker.call(worker.module("tensor"), "Tensor", array) for array in (inputs, labels)]

    def switch_to_fast_kernels(self) -> None:
        """Switch the network to module 13's kernels. Its parameters stay the same."""
        self._network = self._worker.call(self._worker.module("kernels"), "optimise", self._network)

    def run(self, *extra_recorders: Any) -> None:
        """Take one step. A tape and any recorders in ``extra_recorders`` record its ops."""
        call, (images, labels) = self._worker.call, self._batch
        recorders = [call(self._worker.module("autograd"), "Tape"), *extra_recorders]
        for recorder in recorders:
            call(recorder, "__enter__")
        loss = call(self._criterion, "__call__", call(self._network, "__call__", images), labels)
        for recorder in reversed(recorders):
            call(recorder, "__exit__", None, None, None)
        call(loss, "backward")
        call(self._optimizer, "step")
        call(self._optimizer, "zero_grad")

    def profile(self) -> Profile:
        """Profile one step with the student's Profile. Raise RecipeError unless it reports names and seconds."""
        profile = self._worker.call(self._worker.module("kernels"), "Profile")
        self.run(profile)
        seconds = self._worker.request("get", profile, "seconds")
        call, wanted = "Profile().seconds", "a dict that maps each op's name to its seconds"
        if type(seconds) is not dict or not 0 < len(seconds) <= MAX_OPS:
            raise RecipeError(call, expect.describe_value(seconds), wanted)
        for name, value in seconds.items():
            if type(name) is not str or type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
                raise RecipeError(call, expect.describe_value({name: value}), wanted)
        return {to_one_line(name, MAX_NAME): float(value) for name, value in seconds.items()}


def _make_loop_convolution_turn(worker: Worker, inputs: np.ndarray, seed: int) -> Callable[[], None]:
    """Make a function that runs module 06's convolution in loops, as the networks' first layer, on one image."""
    weight = np.random.default_rng(seed).normal(0, 0.2, (CHANNELS[0], inputs.shape[1], 3, 3)).astype(np.float32)

    def run_naive_convolution() -> None:
        """Run the naive convolution on the first image."""
        worker.call(worker.module("spatial"), "conv2d_naive", inputs[:1], weight, stride=(1, 1), padding=(1, 1))

    return run_naive_convolution


def _take_fastest_times(profiles: list[Profile]) -> Profile:
    """Take each op's fastest time over all steps, because other programs slow some steps down."""
    names = dict.fromkeys(name for profile in profiles for name in profile)
    return {name: min(profile[name] for profile in profiles if name in profile) for name in names}
