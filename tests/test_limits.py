"""Budgets are CPU seconds: a busy machine fails nobody, loops and sleepers end, and the message names the limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from grading import limits
from grading.errors import GraderError
from grading.limits import TimeLimit, compute_wall_limit, describe_exceeded_limit
from grading.remote import DeadlineError
from grading.sandbox import processes
from grading.sandbox.processes import Usage, read_usage

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="CPU time is read from /proc")
COMPUTE = """
import time
def compute(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
    return "done"
def loop():
    while True: pass
def sleep(seconds): time.sleep(seconds)
def hog():
    kept = []
    while True: kept.append(bytearray(64 << 20))
"""


@contextlib.contextmanager
def run_competitors(count: int, pids: list[int]) -> Iterator[None]:
    """Limit some processes to one processor while the block runs, and make others compete for it."""
    (processor, *_) = os.sched_getaffinity(0)
    # Each in a session of its own: Linux shares a processor among sessions before it shares it among processes.
    loop = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(loop, start_new_session=True) for _ in range(count)]
    for pid in (*pids, *(process.pid for process in running)):
        os.sched_setaffinity(pid, {processor})
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def list_process_family(pid: int) -> list[int]:
    """List the ids of a process and of all its descendants."""
    return [pid, *(below for child in processes.find_children(pid) for below in list_process_family(child))]


@needs_proc
def test_right_code_passes_on_a_busy_machine(worker_of):
    """0.3 s of computing within a budget of 0.6 s takes longer than that on the clock."""
    worker = worker_of(COMPUTE, call_seconds=0.6)
    code = worker.module("code")
    with run_competitors(2, list_process_family(worker._launched.process.pid)):
        started = time.monotonic()
        assert code.compute(0.3) == "done"
    assert time.monotonic() - started > 0.6


@needs_proc
def test_a_worker_that_was_stopped_for_a_while_goes_on(worker_of):
    """What is suspended and continued has computed nothing meanwhile, so it is not late."""
    worker = worker_of(COMPUTE, call_seconds=1)
    code = worker.module("code")
    pids = list_process_family(worker._launched.process.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    thread = threading.Timer(1.5, lambda: [os.kill(pid, signal.SIGCONT) for pid in pids])
    thread.start()
    started = time.monotonic()
    assert code.compute(0.1) == "done"
    assert time.monotonic() - started > 1
    thread.join()


@needs_proc
def test_an_endless_loop_is_told_that_cpu_time_is_up(worker_of):
    """The budget of the call is named, and what kind of seconds it counts."""
    code = worker_of(COMPUTE, call_seconds=0.6).module("code")
    with pytest.raises(DeadlineError, match=r"^no answer within 1 s of CPU time; is there an endless loop\?$"):
        code.loop()


@needs_proc
def test_who_sleeps_is_told_that_wall_time_is_up(worker_of, monkeypatch):
    """It used no CPU time to speak of, and ends all the same."""
    monkeypatch.setattr(limits, "LEAST_WALL", 1.0)
    monkeypatch.setattr(limits, "WALL_FACTOR", 2.0)
    code = worker_of(COMPUTE, call_seconds=0.5).module("code")
    with pytest.raises(
        DeadlineError, match=r"within 1 s of wall time, and only 0\.\d s of CPU time used; is it sleeping"
    ):
        code.sleep(60)


def test_memory_that_is_used_up_is_told_with_its_limit(worker_of):
    """A MemoryError says how much there was."""
    code = worker_of(COMPUTE, memory_mb=1024).module("code")
    with pytest.raises(MemoryError, match="your code may use 1,024 MB of memory"):
        code.hog()


@needs_proc
def test_the_systems_own_limit_of_cpu_time_is_told_as_such(tmp_path, sandbox):
    """Where a worker runs into it between two looks, its end names CPU time and not memory."""
    from grading.client import Worker
    from grading.remote import WorkerDiedError
    from grading.sandbox.launch import Confinement

    (tmp_path / "m/tinytorch").mkdir(parents=True)
    (tmp_path / "m/tinytorch/code.py").write_text(COMPUTE)
    with (
        Worker(Confinement(tmp_path, ("m",), 2048, 2, sandbox=sandbox), call_seconds=60) as worker,
        pytest.raises(WorkerDiedError, match="2 s of CPU time"),
    ):
        worker.module("code").loop()


def test_a_worker_that_waits_for_the_machine_is_not_the_students_failure(monkeypatch):
    """At the limit of wall time it was ready to run, and was not let: that is the machine's failure."""
    monkeypatch.setattr(limits, "LEAST_WALL", 0.0)
    monkeypatch.setattr(limits, "WALL_FACTOR", 1.0)
    waited = iter([5.0, 5.15, 5.0, 5.01])
    for error, words in ((GraderError, "too busy"), (DeadlineError, "sleep")):
        limit = TimeLimit(0.1, lambda: Usage(0.01, next(waited)))
        time.sleep(0.03)
        limit.check_and_get_wait_seconds()
        time.sleep(0.2)
        with pytest.raises(error, match=words):
            limit.check_and_get_wait_seconds()


@needs_proc
def test_a_starved_worker_is_not_the_students_failure(worker_of, monkeypatch):
    """Others take every processor, and it runs only when they do not want to: the machine is too busy to grade."""
    monkeypatch.setattr(limits, "LEAST_WALL", 0.0)
    monkeypatch.setattr(limits, "WALL_FACTOR", 2.0)
    worker = worker_of(COMPUTE, call_seconds=0.5)
    code, pids = worker.module("code"), list_process_family(worker._launched.process.pid)
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with run_competitors(4, pids):
        time.sleep(0.2)
        with pytest.raises((GraderError, DeadlineError)) as caught:
            code.loop()
    if "CPU time" in str(caught.value):
        pytest.skip("the scheduler gives a process of its own session a fair share here, however idle its policy")
    assert isinstance(caught.value, GraderError)
    assert "this machine is too busy to grade: in 1 s of wall time" in str(caught.value)


def test_where_no_cpu_time_is_told_wall_time_is_counted():
    """As on macOS: the budget is then what the clock says, and the message admits that the machine may be busy."""
    limit = TimeLimit(0.1, lambda: None)
    assert limit.check_and_get_wait_seconds() > 0
    time.sleep(0.15)
    with pytest.raises(DeadlineError, match="or is the machine busy"):
        limit.check_and_get_wait_seconds()


def test_a_limit_is_named_with_its_kind():
    """CPU seconds before wall seconds; neither below them."""
    assert describe_exceeded_limit(4, 100, 5) is None
    assert describe_exceeded_limit(6, 6, 5) == "5 s of CPU time"
    assert describe_exceeded_limit(1, 181, 5) == "180 s of wall time"


def test_the_wall_limit_is_wide_and_has_an_end():
    """Some minutes at least, ten times as long, half an hour more at most."""
    assert [compute_wall_limit(seconds) for seconds in (1, 10, 60, 900, 3600)] == [180, 180, 600, 2700, 5400]


@needs_proc
def test_the_time_of_children_counts():
    """Of those that run and of those that have ended; a name with brackets and spaces confuses nothing."""
    compute = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {compute!r}])\ntime.sleep(90)"
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and read_usage(process.pid).cpu_seconds < 0.2:
            time.sleep(0.05)
        assert read_usage(process.pid).cpu_seconds >= 0.2
    finally:
        process.kill()
        process.wait()
    assert read_usage(process.pid) is None
