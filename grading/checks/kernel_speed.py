"""Measure how much faster a training step is with module 13 than with module 06, in terms of CPU time.

Two workers take turns. One sees only modules 01 to 06, and the other sees all of them. Each turn gets fresh weights,
images and labels, and returns logits and gradients, which must be correct. So no work can be reused from an earlier
turn, left out, or put off. Any CPU time that a worker uses between its turns also counts. Making module 06 slow on
purpose does not help, because module 06's time counts only up to a multiple of the time that the grader's own matrix
products take on the same machine at the same time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grading.checks.grader_seeds import make_grader_rng
from grading.checks.reference_step import (
    CLASSES,
    StepAnswer,
    StepShape,
    StepValues,
    compute_reference_logits_and_gradients,
    compute_relative_difference,
    draw_step_shape,
    draw_step_values,
)
from grading.checks.run_pictures import make_step_time_picture
from grading.checks.student_network import RecipeError, convert_error_to_failure_fields, require_finite_floats
from grading.client import Worker
from grading.errors import GraderError
from grading.manifest.model import KernelsExperiment
from grading.measurement import CheckContext, Measurement, build_failed_measurement, get_milestone_and_experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure
from grading.sandbox.command import THREAD_VARIABLES

BASELINE = 6
"""The last module that the slower side sees. Its convolution has no blocks, and its loops are not compiled."""
IDLE_SHARE = 0.1
"""The maximum CPU time that a worker may use outside its turns, as a fraction of the time in its turns."""
WARM_UPS = 2
"""The number of warm-up turns, which do not count because they compile code and touch memory for the first time.
"""


@dataclass(frozen=True)
class SpeedRound:
    """The medians of one network's turns, in seconds of CPU time."""

    shape: StepShape
    plain: float
    """The time of module 06's step."""
    fast: float
    """The time of module 13's step."""
    products: float
    """The time of the grader's own matrix products."""
    difference: float
    """The largest relative difference between module 13's values and either the correct ones or module 06's."""

    def compute_speed_up(self, product_limit: float) -> float:
        """Divide module 06's time, but at most ``product_limit`` times the products' time, by module 13's."""
        return min(self.plain, product_limit * self.products) / max(self.fast, 1e-9)


def build_step_network(worker: Worker, shape: StepShape) -> tuple[Any, list[Any]]:
    """Build the network in a worker from module 06's layers, and list its parameters in the layers' order."""
    spatial, activations, layers = (worker.module(name) for name in ("spatial", "activations", "layers"))
    rng, parts, into = worker.rng(0), [], 3
    parameters: list[Any] = []
    for out in shape.channels:
        conv = worker.call(spatial, "Conv2d", into, out, 3, padding=1, bias=False, rng=rng)
        norm = worker.call(spatial, "BatchNorm2d", out)
        parts += [conv, norm, worker.call(activations, "ReLU"), worker.call(spatial, "MaxPool2d", 2)]
        parameters += [worker.request("get", *place) for place in ((conv, "weight"), (norm, "weight"), (norm, "bias"))]
        into = out
    dense = worker.call(layers, "Dense", shape.dense_input_count, CLASSES, rng=rng)
    parameters += [worker.request("get", dense, name) for name in ("weight", "bias")]
    return worker.call(layers, "Sequential", *parts, worker.call(spatial, "Flatten"), dense), parameters


class TimedStep:
    """A training step, plain or optimised, that runs entirely in one worker and is timed by the grader."""

    def __init__(self, worker: Worker, shape: StepShape, *, optimised: bool):
        self._worker, self._optimised = worker, optimised
        self._network, self._parameters = build_step_network(worker, shape)
        if optimised:
            worker.call(worker.module("autograd"), "require_grad", self._parameters)
            self._network = worker.call(worker.module("kernels"), "optimise", self._network)
        self._criterion = worker.call(worker.module("dense"), "CrossEntropyLoss")
        self._ended = worker.read_clock()
        self.seconds: list[float] = []
        """The CPU time of each turn, including everything that the worker has computed since its previous turn."""
        self.idle: list[float] = []
        """The part of each turn's CPU time that the worker used before the turn began."""

    def take_timed_step(self, values: StepValues) -> StepAnswer:
        """Take one step from these values, and add its CPU time and the idle time before it to this object's lists.

        Raise RecipeError if an answer has the wrong form.
        """
        began = self._worker.read_clock()
        answer = self._request_step(values)
        ended = self._worker.read_clock()
        self.idle.append(began - self._ended)
        self.seconds.append(ended - self._ended)
        self._ended = ended
        return answer

    def _request_step(self, values: StepValues) -> StepAnswer:
        """Have the worker load the weights and run one forward and backward pass; read the logits and gradients."""
        call, module = self._worker.call, self._worker.module
        for parameter, weight in zip(self._parameters, values.weights, strict=True):
            self._worker.request("set", parameter, "data", weight)
        call(module("layers"), "zero_grad", self._parameters)
        images, labels = (call(module("tensor"), "Tensor", array) for array in (values.images, values.labels))
        if self._optimised:
            tape = call(module("autograd"), "Tape")
            call(tape, "__enter__")
            logits = call(self._network, "__call__", images)
            loss = call(self._criterion, "__call__", logits, labels)
            call(tape, "__exit__", None, None, None)
            call(loss, "backward")
        else:
            logits = call(self._network, "__call__", images)
            call(self._criterion, "__call__", logits, labels)
            call(self._network, "backward", call(self._criterion, "backward"))
        gradients = [self._worker.request("get", parameter, "grad") for parameter in self._parameters]
        return StepAnswer(
            require_finite_floats(call(logits, "numpy"), "network(images).numpy()", (len(values.images), CLASSES)),
            tuple(
                require_finite_floats(call(gradient, "numpy"), "parameter.grad.numpy()", weight.shape)
                for gradient, weight in zip(gradients, values.weights, strict=True)
            ),
        )


@contextmanager
def start_product_timer(shape: StepShape) -> Iterator[Callable[[], float]]:
    """Start a process, and provide a function that runs a step's matrix products in it and returns their CPU seconds.

    Like a step, it also makes some passes over the activations. The process has one thread. This process would not do,
    because BLAS has already started its threads here. Like a worker, the new process gets none of our environment
    variables: a single one, OPENBLAS_CORETYPE, can halve its speed.
    """
    command = [sys.executable, str(Path(__file__).with_name("product_timing.py")), json.dumps(shape.product_sizes)]
    environment = {"PATH": os.defpath, **dict.fromkeys(THREAD_VARIABLES, "1")}
    with subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        ask, answers = process.stdin, process.stdout
        assert ask is not None
        assert answers is not None

        def time_products() -> float:
            """Run the products once, and return their CPU time in seconds."""
            print(file=ask, flush=True)
            line = answers.readline()
            if not line:
                raise GraderError("the matrix products used for comparison could not be timed on this machine")
            return int(line) / 1e9

        yield time_products
        ask.close()


def measure_kernel_speed(context: CheckContext) -> Measurement:
    """Race module 13 against module 06 until a round is fast enough or the rounds run out; return the best.

    The worst difference between their values counts. If the student's code fails, return a failed measurement.
    """
    milestone, experiment = get_milestone_and_experiment(context, KernelsExperiment)
    wanted = next(c for c in milestone.criteria if c.figure == "speed_up")
    (seed,) = context.derive_seeds("speed", 1)
    rng = make_grader_rng(seed)
    rounds: list[SpeedRound] = []
    context.watch.begin_phase("Racing module 13 against module 06", experiment.rounds * (experiment.turns + WARM_UPS))
    try:
        plain, fast = context.start(BASELINE), context.start()
        while len(rounds) < experiment.rounds:
            rounds.append(_race_modules(context, experiment, plain, fast, rng, len(rounds)))
            if wanted.is_met_by(rounds[-1].compute_speed_up(experiment.baseline_limit)):
                break
        plain.close()
        fast.close()
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        hint = f"Run the module's tests first: tito module test {milestone.trigger[:2]}"
        title = "Module 13 takes a training step on a network that it has not seen before"
        return build_failed_measurement(
            "kernel_speed", Failure(title=title, hint=hint, **convert_error_to_failure_fields(error))
        )
    limit = experiment.baseline_limit
    best = max(rounds, key=lambda one: one.compute_speed_up(limit))
    figures = {"speed_up": best.compute_speed_up(limit), "same_values": max(one.difference for one in rounds)}
    how = (
        f"{best.shape}, one thread, CPU time of the worker processes, medians of {experiment.turns} interleaved "
        f"turns, the best of {len(rounds)} round{'s' * (len(rounds) > 1)}: module 06 {best.plain * 1e3:.1f} ms, "
        f"module 13 {best.fast * 1e3:.1f} ms, the grader's own matrix products {best.products * 1e3:.1f} ms; module 06 "
        f"counts as at most {limit:g} times their time"
    )
    times = {"module 06": best.plain, "module 13": best.fast, "products alone": best.products}
    return Measurement(
        figures,
        {name: (failure,) for name, failure in _describe_speed_failures(figures, best, limit).items()},
        how=how,
        pictures=(make_step_time_picture(times, seed),),
    )


def _race_modules(
    context: CheckContext,
    experiment: KernelsExperiment,
    plain_worker: Worker,
    fast_worker: Worker,
    rng: np.random.Generator,
    rounds_done: int,
) -> SpeedRound:
    """Time both modules in turns on one network and compare their values. Raise RecipeError for work between turns."""
    assert context.milestone is not None
    shape = draw_step_shape(rng)
    sides = TimedStep(plain_worker, shape, optimised=False), TimedStep(fast_worker, shape, optimised=True)
    products, in_logits, in_gradients = [], [], []
    with start_product_timer(shape) as measure_products:
        for turn in range(WARM_UPS + experiment.turns):
            values = draw_step_values(shape, rng)
            right = compute_reference_logits_and_gradients(values)
            slow, quick = (side.take_timed_step(values) for side in sides)
            products.append(measure_products())
            for other in (right, slow):
                in_logits.append(compute_relative_difference(quick.logits, other.logits))
                pairs = zip(quick.gradients, other.gradients, strict=True)
                in_gradients.append(max(compute_relative_difference(got, expected) for got, expected in pairs))
            context.watch.report_steps_done(rounds_done * (WARM_UPS + experiment.turns) + turn + 1)
    for side, module in zip(sides, (f"{BASELINE:02}", context.milestone.trigger[:2]), strict=True):
        idle, own = sum(side.idle[WARM_UPS:]), sum(side.seconds[WARM_UPS:])
        if idle > IDLE_SHARE * own:
            call = f"a training step with modules 01 to {module}"
            got = f"{idle / own:.0%} of its CPU time used between its turns, when nothing was requested"
            raise RecipeError(call, got, "work only during calls: your code must leave no threads running")
    plain_seconds, fast_seconds = (statistics.median(side.seconds[WARM_UPS:]) for side in sides)
    # The median of the gradients, because rounding occasionally decides whether an activation near 0 has a gradient.
    return SpeedRound(
        shape,
        plain_seconds,
        fast_seconds,
        statistics.median(products[WARM_UPS:]),
        max(*in_logits, statistics.median(in_gradients)),
    )


def _describe_speed_failures(
    figures: dict[str, float], best_round: SpeedRound, product_limit: float
) -> dict[str, Failure]:
    """For each figure, describe the failure to report if the figure misses its threshold."""
    held = (
        f", counted as {product_limit * best_round.products * 1e3:.1f} ms"
        if best_round.plain > product_limit * best_round.products
        else ""
    )
    return {
        "speed_up": Failure(
            title="A training step is faster with module 13",
            call=f"optimise(network): {best_round.shape}",
            got=f"{best_round.fast * 1e3:.1f} ms per step, where module 06 takes {best_round.plain * 1e3:.1f} "
            f"ms{held}: "
            f"{figures['speed_up']:.2f} times as fast",
            expected="at least 1.5 times as fast",
            hint="Look at the time of each op: `tito milestone demo 4` shows the profile before and after optimise.",
        ),
        "same_values": Failure(
            title="Module 13 computes the same values",
            call=f"optimise(network): {best_round.shape}",
            got=f"logits or gradients with a relative difference of {figures['same_values']:.2g}",
            expected="at most 0.001, compared with your plain layers and with the correct values in float64",
            hint="Compare optimise(network) with network, layer by layer, on one small batch. Use float32 throughout.",
        ),
    }
