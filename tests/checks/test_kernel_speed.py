"""The speed of module 13 as the grader measures it: by the kernel's CPU time, with values checked in every turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from grading.checks import kernel_speed
from grading.checks.kernel_speed import SpeedRound, measure_kernel_speed, start_product_timer
from grading.checks.reference_step import StepShape, draw_step_shape
from grading.client import Worker
from grading.manifest.loader import load_manifest
from grading.measurement import CheckContext, Measurement, WorkerLog
from grading.render.progress_watch import SilentWatch
from grading.sandbox.launch import Confinement, choose_fence
from grading.sandbox.processes import read_cpu_nanoseconds
from grading.submission import copy_module_code, copy_submission
from grading.workers import start_worker
from tests.submissions.build import Miniature, build_submission

SMALL = StepShape(batch=8, side=16, channels=(4, 8, 8))


@pytest.fixture(scope="module")
def measurement(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    """Measure the speed of the solution."""
    folder, manifest = tmp_path_factory.mktemp("speed"), load_manifest(root)
    milestone, log = manifest.milestone(4), WorkerLog()
    modules = manifest.list_modules_up_to(milestone)
    tree = build_submission(Miniature(folder, {"from": "solution"}), root, manifest, folder / "tree")
    submission = copy_submission(tree, manifest, modules, milestone, folder / "submission")

    def start(last: int | None = None) -> Worker:
        """Start a worker with the solution's modules up to this number, or with all of them."""
        visible = modules if last is None else tuple(m for m in modules if m.number <= last)
        own = submission if last is None else copy_module_code(submission, visible, folder / "first")
        log.workers.append(start_worker(own, visible, milestone.budget, choose_fence(official=False)))
        return log.workers[-1]

    context = CheckContext(
        root, manifest, modules, milestone, submission, start, milestone.budget, 3, False, None, SilentWatch(), log
    )
    try:
        return measure_kernel_speed(context)
    finally:
        log.close_workers()


def test_the_solution_is_faster_and_gives_the_same_values(measurement: Measurement) -> None:
    """How much faster depends on the machine and is the milestone's question. That it is faster and right does not."""
    assert measurement.figures["speed_up"] is not None, measurement.failures
    assert measurement.figures["speed_up"] > 1.1, measurement.how
    assert measurement.figures["same_values"] is not None
    (times,) = measurement.pictures
    assert times.labels == ("module 06", "module 13", "products alone")
    assert times.values[0] > times.values[1] > 0
    assert measurement.figures["same_values"] < 1e-4
    assert "module 06" in measurement.how
    assert "CPU time" in measurement.how


def test_a_slow_baseline_counts_no_more_than_its_bound() -> None:
    """A baseline twice as slow as the bound gains nothing. Below the bound, the measured time counts."""
    slow = SpeedRound(SMALL, plain=8.0, fast=1.0, products=1.0, difference=0.0)
    assert slow.compute_speed_up(2.0) == 2.0
    assert slow.compute_speed_up(10.0) == 8.0


def test_the_products_get_none_of_the_callers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that makes BLAS slower does not raise the limit of the baseline: workers do not get it either."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    started, start = [], subprocess.Popen

    def record_process(*arguments: object, **options: object) -> object:
        """Start the process, and keep it in a list."""
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(kernel_speed.subprocess, "Popen", record_process)
    with start_product_timer(SMALL) as measure:
        assert measure() > 0
        variables = Path(f"/proc/{started[0].pid}/environ").read_text()
    assert "OPENBLAS_NUM_THREADS=1" in variables
    assert "OPENBLAS_CORETYPE" not in variables


def test_the_grader_s_own_products_are_timed_in_a_process_of_their_own() -> None:
    """More work takes more CPU time there, and the process ends with the block."""
    with start_product_timer(SMALL) as measure:
        small = min(measure() for _ in range(5))
    with start_product_timer(StepShape(batch=64, side=32, channels=(16, 32, 64))) as measure:
        assert min(measure() for _ in range(3)) > 10 * small > 0


def test_products_are_those_of_the_drawn_network() -> None:
    """Kernels, window and windows of each convolution; pooling leaves a quarter of the windows."""
    assert SMALL.product_sizes == [[4, 27, 8 * 256], [8, 36, 8 * 64], [8, 72, 8 * 16]]
    assert SMALL.dense_input_count == 8 * 4


def test_shapes_are_drawn_for_the_framework() -> None:
    """Every draw has sides that can be halved three times, and a batch of two or more."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        shape = draw_step_shape(rng)
        assert shape.side % 8 == 0
        assert shape.batch >= 24


@pytest.fixture
def busy_process() -> Iterator[int]:
    """Start a process that computes for ever, and yield its id."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux makes a clock's number from a pid")
def test_cpu_time_of_another_process_is_read_to_the_nanosecond(busy_process: int) -> None:
    """It grows as that process computes, in steps finer than the kernel's ticks. Without a process there is none."""
    first = read_cpu_nanoseconds(busy_process)
    deadline = time.monotonic() + 30
    seen = {first}
    while len(seen) < 5 and time.monotonic() < deadline:
        seen.add(read_cpu_nanoseconds(busy_process))
    assert None not in seen
    assert len(seen) == 5
    assert any(value % 10_000_000 for value in seen)
    assert read_cpu_nanoseconds(2**22 + 1) is None


def test_a_worker_s_clock_counts_its_threads_and_not_its_sleep(tmp_path: Path) -> None:
    """A worker computes nothing as it waits for its next call."""
    confinement = Confinement(tmp_path, (), memory_mb=2048, cpu_seconds=60, sandbox=choose_fence(official=False))
    with Worker(confinement, call_seconds=30) as worker:
        worker.request("echo", None)
        before = worker.read_clock()
        time.sleep(0.5)
        assert worker.read_clock() - before < 0.25


def test_the_calibration_needs_nothing_of_the_course(tmp_path: Path) -> None:
    """It runs as a script anywhere, and takes a step for each line."""
    script = Path(kernel_speed.__file__).with_name("product_timing.py")
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(SMALL.product_sizes)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        input="\n\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(line) > 0 for line in done.stdout.split()] == [True, True]
