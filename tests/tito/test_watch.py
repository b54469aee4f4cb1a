"""`tito watch` as a command: files are watched, keys are read, and a task is solved at a real terminal."""

from __future__ import annotations

import os
import pty
import queue
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from course.skeleton import make_skeleton, make_solution
from grading import progress
from grading.errors import GraderError, UsageError
from grading.manifest.loader import load_manifest
from grading.testing.runner import TestOutcome
from grading.warm import WarmGrader
from tests.render.results import build_failure
from tito import watch
from tito.keys import enable_single_keys, read_keys
from tito.session import TickEvent
from tito.signals import ENDING, forward_signals

CODE = Path("modules/01_setup/tinytorch/setup.py")
PATIENCE = 60
"""Seconds on a busy machine for what takes one."""


def make_outcome(task: str | None, gap: str | None = None, *, failed: bool = True) -> TestOutcome:
    """Make the outcome of a test of this task."""
    return TestOutcome("test_it", task, "It works", build_failure() if failed else None, gap)


@pytest.mark.parametrize(
    ("found", "decisive"),
    [
        (make_outcome("4.2"), True),
        (make_outcome("4.2", failed=False), False),
        (make_outcome("4.2", "4.2"), True),
        (make_outcome("4.2", "2.10"), True),
        (make_outcome("4.2", "4.10"), False),
        (make_outcome("4.10", "4.9"), True),
        (make_outcome(None), True),
    ],
)
def test_the_first_failure_decides_unless_it_is_a_later_tasks_gap(found: TestOutcome, decisive: bool) -> None:
    """A later task's gap is not the first thing to fix, since other tests of the task may explain the failure."""
    assert watch.is_failure_to_fix_now(found) is decisive


def test_a_second_without_an_event_is_one_while_tests_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test that only waits is seen; a failure in a thread is raised."""
    monkeypatch.setattr(watch, "TICK_SECONDS", 0.01)
    events: queue.SimpleQueue[object] = queue.SimpleQueue()
    assert isinstance(watch._wait_for_event(events, are_tests_running=True), TickEvent)
    events.put(GraderError("no watches"))
    with pytest.raises(GraderError, match="no watches"):
        watch._wait_for_event(events, are_tests_running=False)


def test_every_failed_task_is_collected() -> None:
    """A result names one task where several fail for the same reason; the tests end where they did."""
    failed: set[str | None] = set()
    is_enough = watch._make_failure_collector(failed, watch.is_failure_to_fix_now)
    outcomes = [make_outcome("4.1", failed=False), make_outcome("4.2"), make_outcome("4.3", "4.4")]
    assert [is_enough(outcome) for outcome in outcomes] == [False, True, False]
    assert failed == {outcome.failure.task for outcome in outcomes[1:] if outcome.failure}


def test_files_that_the_tests_depend_on_are_watched(root: Path) -> None:
    """They are files of the module and earlier ones, recipes and the module's tests, but nothing of later modules."""
    grader = WarmGrader(root, "04_layers")
    watched = watch.list_watched_files(grader, grader.last_read_manifest.module("04_layers"))
    names = {path.relative_to(root / "modules").as_posix() for path in watched}
    assert {"02_tensor/tinytorch/tensor.py", "04_layers/recipe.py", "04_layers/test_layers.py"} <= names
    assert not [name for name in names if name.startswith(("05", "06")) or name.endswith(".md")]
    assert "02_tensor/test_tensor.py" not in names


@contextmanager
def watch_changes(root: Path, *watched: Path) -> Iterator[queue.SimpleQueue[object]]:
    """Collect what is reported about these files while the block runs: True for each change, or an error."""
    said: queue.SimpleQueue[object] = queue.SimpleQueue()
    with watch._watch_files(root, frozenset(watched), lambda: said.put(True), said.put):
        while said.empty():  # until the kernel watches
            watched[0].touch()
            time.sleep(0.01)
        yield said
        wait_for_silence(said)


def wait_for_silence(said: queue.SimpleQueue[object]) -> None:
    """Discard reports until no more follow, even on a busy machine."""
    try:
        while True:
            said.get(timeout=1.5)
    except queue.Empty:
        return


def replace_file(file: Path) -> None:
    """Save as many editors do, by moving a new file over the old one."""
    new = file.with_suffix(".new")
    new.write_text("1")
    new.rename(file)


@pytest.mark.parametrize(
    "save",
    [
        lambda file: file.write_text("1"),
        replace_file,
        lambda file: (file.unlink(), file.write_text("1")),
        lambda file: (shutil.rmtree(file.parent), file.parent.mkdir(), file.write_text("1")),
    ],
    ids=["in place", "by rename", "deleted and restored", "with its folder"],
)
def test_each_way_to_save_is_seen(tmp_path: Path, save: Callable[[Path], object]) -> None:
    """Saves in place and by renaming are seen, and so is a file or folder that disappears and returns."""
    file = tmp_path / "modules/01_setup/tinytorch/setup.py"
    file.parent.mkdir(parents=True)
    file.write_text("0")
    with watch_changes(tmp_path, file) as said:
        wait_for_silence(said)
        save(file)
        assert said.get(timeout=PATIENCE) is True


def test_other_files_are_not_a_save(tmp_path: Path) -> None:
    """Ignored are bytecode, an editor's own files and lessons."""
    file = tmp_path / "modules/01_setup/setup.py"
    file.parent.mkdir(parents=True)
    file.write_text("0")
    with watch_changes(tmp_path, file) as said:
        wait_for_silence(said)
        for name in ("setup.pyc", ".setup.py.swp", "4913", "README.md"):
            file.with_name(name).write_text("1")
        with pytest.raises(queue.Empty):
            said.get(timeout=10 * watch.STEP_MS / 1000)
        file.write_text("1")
        assert said.get(timeout=PATIENCE) is True


def test_folders_that_cannot_be_watched_are_the_machines_failure(tmp_path: Path) -> None:
    """The message says what to try, and the watch does not wait as if nothing were saved."""
    said: queue.SimpleQueue[object] = queue.SimpleQueue()
    with watch._watch_files(tmp_path, frozenset(), lambda: None, said.put):
        error = said.get(timeout=PATIENCE)
    assert isinstance(error, GraderError)
    assert "WATCHFILES_FORCE_POLLING=1 tito watch" in str(error)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_another_thread_gets_wakes_the_one_that_waits(number: int) -> None:
    """The kernel may choose any thread; a handler alone would wait until the main one has something to do."""
    events: queue.SimpleQueue[int] = queue.SimpleQueue()
    with forward_signals(events.put):
        other = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), number))
        interrupted = False
        try:
            other.start()
            assert events.get(timeout=PATIENCE) == number
            events.get(timeout=PATIENCE)
        except KeyboardInterrupt:
            interrupted = True
    assert interrupted


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the environment is older than the course, the message says what to run."""
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with (
        pytest.raises(UsageError, match=r"pip install -e \."),
        watch._watch_files(tmp_path, frozenset(), lambda: None, lambda _: None),
    ):
        pass


def test_keys_are_read_one_by_one_and_the_terminal_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys need no Enter and are not echoed, even after Ctrl-Z and `fg`; arrow keys are not letters."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        monkeypatch.setattr("tito.keys.has_keyboard", lambda: True)
        before, pressed = termios.tcgetattr(theirs), queue.SimpleQueue()
        with forward_signals(lambda _: enable_single_keys()), read_keys(pressed.put):
            os.write(ours, b"h\x1b[A\x1b[3~\x1bOBq")
            assert [pressed.get(timeout=PATIENCE) for _ in range(2)] == ["h", "q"]
            termios.tcsetattr(theirs, termios.TCSANOW, before)  # as a shell does
            os.kill(os.getpid(), signal.SIGCONT)
            until = time.monotonic() + PATIENCE
            while termios.tcgetattr(theirs) == before and time.monotonic() < until:
                time.sleep(0.01)
            os.write(ours, b"l")
            assert pressed.get(timeout=PATIENCE) == "l"
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


class Terminal:
    """A terminal in which `tito watch` runs."""

    def __init__(self, repo: Path, *arguments: str):
        self.keyboard, theirs = pty.openpty()
        self.settings = termios.tcgetattr(theirs)
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
        environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tito", "watch", *arguments],
            cwd=repo,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        self.theirs = theirs
        self.text, self._more = "", threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Collect what the program prints, without escapes, until the terminal closes."""
        while True:
            try:
                data = os.read(self.keyboard, 1 << 16)
            except OSError:
                return
            with self._more:
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
                self._more.notify_all()

    def wait_for(self, words: str) -> str:
        """Return and discard everything shown up to these words; raise an error if they do not appear."""
        with self._more:
            assert self._more.wait_for(lambda: words in self.text, PATIENCE), self.text
            before, _, self.text = self.text.partition(words)
        return before

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.keyboard, keys.encode())

    def close(self) -> None:
        """Stop whatever is still running."""
        self.process.kill()
        self.process.wait()
        os.close(self.theirs)
        os.close(self.keyboard)


def _take_terminal() -> None:
    """Make standard input the controlling terminal of this process."""
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(repo: Path, root: Path) -> Iterator[Terminal]:
    """Run a student's untouched first module under watch."""
    (repo / CODE).write_text(make_skeleton((root / CODE).read_text("utf-8"), load_manifest(root), CODE))
    opened = Terminal(repo, "01")
    yield opened
    opened.close()


def test_a_module_is_done_under_watch(repo: Path, root: Path, terminal: Terminal) -> None:
    """Saves lead from task to task up to the end, keys help on the way, and the module is recorded."""
    source, course = (root / CODE).read_text("utf-8"), load_manifest(root)
    terminal.wait_for("Task 1.1 is not written yet")
    terminal.wait_for("q quit")
    assert progress.read_history(repo).events[0].kind is progress.Kind.MODULE_STARTED
    terminal.press("h")
    terminal.wait_for("Hint 1 of ")
    (repo / CODE).write_text("def half_typed(:\n")
    terminal.wait_for("Python points")
    (repo / CODE).unlink()
    terminal.wait_for("it was not handed in")
    (repo / CODE).write_text(make_solution(source, course, CODE))
    for task in course.module("01_setup").tasks:
        terminal.wait_for(f"Task {task.id} passes")
    terminal.wait_for("Module 01_setup is completed.")
    terminal.wait_for("tito module start 02_tensor")
    assert progress.read_history(repo).events[-1].kind is progress.Kind.MODULE_COMPLETED
    terminal.press("q")
    assert terminal.process.wait(PATIENCE) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.settings


def test_ctrl_c_ends_a_test_that_never_ends(repo: Path, terminal: Terminal) -> None:
    """Like q, it exits with 0, explains how to continue, and restores the terminal."""
    terminal.wait_for("Task 1.1 is not written yet")
    (repo / CODE).write_text("while True:\n    pass\n")
    terminal.wait_for("Testing task 1.1")
    terminal.press("\x03")
    terminal.wait_for("To continue: tito watch 01")
    assert terminal.process.wait(PATIENCE) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.settings


def test_without_a_terminal_it_prints_and_a_signal_ends_it(repo: Path, root: Path) -> None:
    """Keys are off and nothing is overwritten, but the tests still run after a save."""
    course = load_manifest(root)
    (repo / CODE).write_text(make_skeleton((root / CODE).read_text("utf-8"), course, CODE))
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-m", "tito", "watch", "01"],
        cwd=repo,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "with a debugger at hand" in line and len(lines) < 30:
                (repo / CODE).write_text(make_solution((root / CODE).read_text("utf-8"), course, CODE))
            if "is completed" in line:
                break
        process.send_signal(signal.SIGTERM)
        lines += process.stdout
    assert process.returncode == 0
    text = "".join(lines)
    assert [f"Task 1.{n} passes" in text for n in range(1, 6)] == [True] * 5
    assert "\x1b" not in text
    assert "\r" not in text
    assert "To continue: tito watch 01" in text
