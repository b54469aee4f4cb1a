"""`tito watch`: run the open task's tests after every save, and go on to the next task when they pass."""

from __future__ import annotations

import gc
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from grading.errors import GraderError, UsageError
from tito.console import console, repository
from tito.module import Name, find_module, list_student_files, record_start
from tito.outline import outline

if TYPE_CHECKING:  # slow to import
    from grading.manifest.model import Module
    from grading.testing.runner import TestOutcome
    from grading.warm import WarmGrader
    from tito.session import Event, Job

STEP_MS = 30
"""How often the changes that the kernel has reported are collected: a save is seen after 30 to 60 ms."""
TOGETHER_MS = 200
"""Changes that follow each other for so long are still one save."""
END_SECONDS = 10.0


def watch(name: Name = None) -> int:
    """Test the task you work on after every save, and go on to the next one when it passes.

    \b
    Keys:
      h  the next hint          l  the list of tasks
      t  the task's lesson      a  all tests of the module
      q  quit, as Ctrl-C does

    \b
    Examples:
      tito watch
      tito watch 04
    """
    from grading.warm import WarmGrader  # imports the grader
    from tito.keys import has_keyboard

    root, out = repository(), console()
    module = find_module(root, outline(root), name)
    out.print(Text(f"Getting module {module.id} ready …", style="dim"))
    grader = WarmGrader(root, module.id)
    try:
        grader.warm_up()
        record_start(root, grader.manifest, module.id)
        run(grader, out, has_keys=has_keyboard())
    finally:
        grader.close()
    return 0


def run(grader: WarmGrader, out: Console, *, has_keys: bool) -> None:
    """Watch until somebody quits: this thread shows, one waits for files, one for keys, and one tests."""
    from tito.keys import END, read_keys, take_keyboard
    from tito.session import Pressed, Saved, Session
    from tito.signals import ENDING, hear_signals

    events: SimpleQueue[Event | Exception] = SimpleQueue()
    jobs: SimpleQueue[Job | None] = SimpleQueue()
    module = grader.manifest.module(grader.module_id)
    session = Session(
        grader.root,
        grader.manifest,
        module,
        out,
        begin=jobs.put,
        abort=lambda job: grader.abort(job.aborted),
        has_keys=has_keys,
    )

    def hear(number: int) -> None:
        if number == signal.SIGCONT and has_keys:
            take_keyboard()
        elif number in ENDING:  # wakes this thread, which is interrupted then
            events.put(Pressed(END))

    with ExitStack() as stack:
        stack.enter_context(hear_signals(hear))
        stack.enter_context(_run_in_thread(lambda: run_jobs(grader, jobs.get, events.put), stop=lambda: jobs.put(None)))
        watched = find_watched(grader, module)
        stack.enter_context(_watch_files(grader.root, watched, lambda: events.put(Saved()), events.put))
        if has_keys:
            stack.enter_context(read_keys(lambda key: events.put(Pressed(key))))
        session.start()
        try:
            while session.handle(_next(events)):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            session.stop()


def run_jobs(grader: WarmGrader, take: Callable[[], Job | None], put: Callable[[Event], None]) -> None:
    """Run each job that comes, report its end unless it was aborted, and make ready for the next; None ends it."""
    from tito.session import Finished

    while (job := take()) is not None:
        result, problem = None, ""
        if job.aborted.is_set():
            continue
        try:
            if job.task is None:  # it may be recorded, so it counts what the course's files are now
                grader.refresh()
            result = grader.grade(
                task=job.task,
                watch=_Reporter(job, put),
                is_enough=(lambda _: False) if job.whole else is_decisive,
                aborted=job.aborted,
            )
        except (UsageError, GraderError, OSError) as error:
            problem = str(error)
        except Exception:
            problem = f"The grader failed, not your code. Please report:\n{traceback.format_exc()}"
        if not job.aborted.is_set():
            put(Finished(job, result, problem))
        with suppress(GraderError):  # the next job tries again, and says so
            grader.warm_up()
        if not gc.get_freeze_count():  # all that is imported stays: looking through it for garbage takes 20 ms a job
            gc.collect()
            gc.freeze()


def is_decisive(outcome: TestOutcome) -> bool:
    """Whether the tests after it add nothing: it failed, and not for want of a task that comes later."""
    own, gap = ([int(part) for part in (task or "").split(".") if part] for task in (outcome.task, outcome.gap))
    return outcome.failure is not None and gap <= own


def find_watched(grader: WarmGrader, module: Module) -> frozenset[Path]:
    """The files that the module's tests depend on: what the student has written so far, and the tests."""
    until = [one for one in grader.manifest.modules if one.number <= module.number]
    files = [file for one in until for file in (one.folder / "recipe.py", *list_student_files(grader.root, one))]
    return frozenset(grader.root / file for file in (module.tests, *files))


class _Reporter:
    """A watch of the grader that turns what it is told into events."""

    def __init__(self, job: Job, put: Callable[[Event], None]):
        self._job, self._put, self._total = job, put, 0

    def phase(self, title: str, total: int | None) -> None:  # noqa: ARG002 - the session knows what it began
        """Keep how many tests there are."""
        self._total = total or 0

    def advance(self, done: int, note: str = "") -> None:  # noqa: ARG002 - the same
        """Say how many have been run."""
        from tito.session import Advanced

        self._put(Advanced(self._job, done, self._total))


def _next(events: SimpleQueue[Event | Exception]) -> Event:
    event = events.get()
    if isinstance(event, Exception):
        raise event
    return event


@contextmanager
def _watch_files(
    root: Path, watched: frozenset[Path], changed: Callable[[], None], failed: Callable[[Exception], None]
) -> Iterator[None]:
    """Say when one of the files is changed, replaced, deleted or back again, while the block runs."""
    try:
        import watchfiles
    except ImportError:
        raise UsageError("tito watch needs the package watchfiles. Install it: pip install -e .") from None
    stopped = threading.Event()

    def look() -> None:
        names = {str(path) for path in watched}
        try:
            for _ in watchfiles.watch(
                root / "modules",  # the folders: editors put a new file in the old one's place
                watch_filter=lambda _, path: path in names,
                debounce=TOGETHER_MS,
                step=STEP_MS,
                stop_event=stopped,
                raise_interrupt=False,
            ):
                changed()
        except Exception as error:
            failed(
                GraderError(
                    f"modules/ cannot be watched: {error}. If the system allows no more watches, raise "
                    "fs.inotify.max_user_watches, or type: WATCHFILES_FORCE_POLLING=1 tito watch"
                )
            )

    with _run_in_thread(look, stop=stopped.set):
        yield


@contextmanager
def _run_in_thread(work: Callable[[], None], *, stop: Callable[[], None]) -> Iterator[None]:
    """Do some work in a thread of its own until the block ends."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(END_SECONDS)
