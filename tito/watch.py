"""`tito watch`: run the open task's tests after every save, and continue with the next task when they pass."""

from __future__ import annotations

import gc
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from grading.errors import GraderError, UsageError
from tito.console import open_console, require_repository
from tito.module import ModuleName, find_module, list_student_files, record_module_start
from tito.outline import read_outline

if TYPE_CHECKING:  # slow to import
    from grading.manifest.model import Module
    from grading.testing.runner import TestOutcome
    from grading.warm import WarmGrader
    from tito.session import Event, WatchJob

STEP_MS = 30
"""The interval at which file changes are collected: a save is noticed after 30 to 60 ms."""
TOGETHER_MS = 200
"""Changes within this time of each other count as one save."""
END_SECONDS = 10.0
TICK_SECONDS = 1.0


def watch_module(name: ModuleName = None) -> int:
    """Test your current task after every save, and continue with the next one when it passes.

    \b
    Keys:
      h  show the next hint               l  list the module's tasks
      t  show the lesson on this task     a  run all tests of the module
      q  quit, as Ctrl-C does

    \b
    Examples:
      tito watch
      tito watch 04
    """
    from grading.warm import WarmGrader  # imports the grader
    from tito.keys import has_keyboard

    root, out = require_repository(), open_console()
    module = find_module(root, read_outline(root), name)
    out.print(Text(f"Preparing module {module.id} …", style="dim"))
    grader = WarmGrader(root, module.id)
    try:
        grader.start_spare_worker()
        record_module_start(root, grader.last_read_manifest, module.id)
        run_watch_session(grader, out, has_keys=has_keyboard())
    finally:
        grader.close()
    return 0


def run_watch_session(grader: WarmGrader, out: Console, *, has_keys: bool) -> None:
    """Test the module after every save, and show the results, until the student quits.

    This thread shows the session. A second one waits for file changes, a third waits for keys, and a fourth runs the
    tests.
    """
    from tito.keys import END, enable_single_keys, read_keys
    from tito.session import KeyEvent, SaveEvent, Session
    from tito.signals import ENDING, forward_signals

    events: SimpleQueue[Event | Exception] = SimpleQueue()
    jobs: SimpleQueue[WatchJob | None] = SimpleQueue()
    module = grader.last_read_manifest.module(grader.module_id)
    session = Session(
        grader.root,
        grader.last_read_manifest,
        module,
        out,
        begin=jobs.put,
        abort=lambda job: grader.abort(job.aborted),
        has_keys=has_keys,
    )

    def handle_signal(number: int) -> None:
        """Reclaim the keyboard after a pause, and end the session if the signal ends it."""
        if number == signal.SIGCONT and has_keys:
            enable_single_keys()
        elif number in ENDING:  # the event wakes up the main thread, which is then interrupted
            events.put(KeyEvent(END))

    with ExitStack() as stack:
        stack.enter_context(forward_signals(handle_signal))
        stack.enter_context(
            _run_in_thread_during_block(
                lambda: run_watch_jobs(grader, jobs.get, events.put), stop=lambda: jobs.put(None)
            )
        )
        watched = list_watched_files(grader, module)
        stack.enter_context(_watch_files(grader.root, watched, lambda: events.put(SaveEvent()), events.put))
        if has_keys:
            stack.enter_context(read_keys(lambda key: events.put(KeyEvent(key))))
        session.start()
        try:
            while session.handle_event(_wait_for_event(events, are_tests_running=session.is_testing)):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            session.abort_and_say_how_to_continue()


def run_watch_jobs(grader: WarmGrader, next_job: Callable[[], WatchJob | None], emit: Callable[[Event], None]) -> None:
    """Run each job from ``next_job`` until that returns None. Report a job's end unless the job was aborted."""
    from tito.session import JobEndEvent

    while (job := next_job()) is not None:
        result, problem, failed = None, "", set[str | None]()
        if job.aborted.is_set():
            continue
        try:
            if job.task is None:  # the result may be recorded, so check the course's files again
                grader.reload_course()
            result = grader.grade(
                task=job.task,
                watch=_EventReporter(job, emit),
                is_enough=_make_failure_collector(failed, (lambda _: False) if job.whole else is_failure_to_fix_now),
                aborted=job.aborted,
            )
        except (UsageError, GraderError, OSError) as error:
            problem = str(error)
        except Exception:
            problem = f"The grader failed, not your code. Please report this error:\n{traceback.format_exc()}"
        if not job.aborted.is_set():
            emit(JobEndEvent(job, result, problem, frozenset(failed)))
        with suppress(GraderError):  # the next job tries again and reports the error
            grader.start_spare_worker()
        if not gc.get_freeze_count():  # imported modules stay, and scanning them for garbage would take 20 ms per job
            gc.collect()
            gc.freeze()


def _make_failure_collector(
    failed: set[str | None], is_enough: Callable[[TestOutcome], bool]
) -> Callable[[TestOutcome], bool]:
    """Wrap ``is_enough`` in a function that also adds each failed test's task to ``failed``.

    The tasks must be collected, because a result shows only one of the failures with the same cause.
    """

    def note_failed_task(outcome: TestOutcome) -> bool:
        """Note the task of a failure, and return whether enough tests have run."""
        if outcome.failure is not None:
            failed.add(outcome.failure.task)
        return is_enough(outcome)

    return note_failed_task


def is_failure_to_fix_now(outcome: TestOutcome) -> bool:
    """Return whether a test failed, and not because a later task is still open, so that the run can stop."""
    own, gap = ([int(part) for part in (task or "").split(".") if part] for task in (outcome.task, outcome.gap))
    return outcome.failure is not None and gap <= own


def list_watched_files(grader: WarmGrader, module: Module) -> frozenset[Path]:
    """List the files that a module's tests depend on: the student's files up to this module, and the tests."""
    until = [one for one in grader.last_read_manifest.modules if one.number <= module.number]
    files = [file for one in until for file in (one.folder / "recipe.py", *list_student_files(grader.root, one))]
    return frozenset(grader.root / file for file in (module.tests, *files))


class _EventReporter:
    """A progress listener that turns the grader's reports into events."""

    def __init__(self, job: WatchJob, put: Callable[[Event], None]):
        self._job, self._put, self._total = job, put, 0

    def begin_phase(self, title: str, total: int | None) -> None:  # noqa: ARG002 - the session knows which job it began
        """Remember how many tests there are."""
        self._total = total or 0

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Report how many tests have been run, and the title of the last or the running one."""
        from tito.session import ProgressEvent

        self._put(ProgressEvent(self._job, steps_done, self._total, note))


def _wait_for_event(events: SimpleQueue[Event | Exception], *, are_tests_running: bool) -> Event:
    """Wait for the next event; while tests run, return a TickEvent after a second. Raise an exception from a thread."""
    from tito.session import TickEvent

    try:
        event = events.get(timeout=TICK_SECONDS if are_tests_running else None)
    except Empty:
        return TickEvent()
    if isinstance(event, Exception):
        raise event
    return event


@contextmanager
def _watch_files(
    root: Path, watched: frozenset[Path], on_change: Callable[[], None], on_failure: Callable[[Exception], None]
) -> Iterator[None]:
    """During the block, call ``on_change`` in a separate thread when a watched file is changed, deleted or restored."""
    try:
        import watchfiles
    except ImportError:
        raise UsageError("tito watch needs the package watchfiles. To install it: pip install -e .") from None
    stopped = threading.Event()

    def report_changes() -> None:
        """Report changes of the watched files until the session stops, and a failure to watch them."""
        names = {str(path) for path in watched}
        try:
            for _ in watchfiles.watch(
                root / "modules",  # watch folders, because editors replace the old file with a new one
                watch_filter=lambda _, path: path in names,
                debounce=TOGETHER_MS,
                step=STEP_MS,
                stop_event=stopped,
                raise_interrupt=False,
            ):
                on_change()
        except Exception as error:
            on_failure(
                GraderError(
                    f"modules/ cannot be watched: {error}. If the system's limit on watches is reached, raise "
                    "fs.inotify.max_user_watches, or run: WATCHFILES_FORCE_POLLING=1 tito watch"
                )
            )

    with _run_in_thread_during_block(report_changes, stop=stopped.set):
        yield


@contextmanager
def _run_in_thread_during_block(work: Callable[[], None], *, stop: Callable[[], None]) -> Iterator[None]:
    """Run ``work`` in a separate thread during the block; at its end, call ``stop`` and wait at most ten seconds."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(END_SECONDS)
