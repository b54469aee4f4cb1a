"""Decide what `tito watch` does after a save, a key press or a test run. This module starts no thread or process."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from grading import journey, progress
from grading.manifest.model import Manifest, Module, Task
from grading.render import terminal_report, words
from grading.render.text import cut_line, to_one_line
from grading.result import Result
from tito.console import format_list_item
from tito.hints import save_failing_task, show_next_hint
from tito.keys import END
from tito.lesson import show_lesson
from tito.module import format_goals_after_module

KEYS = "h hint  t lesson  l tasks  a all  q quit"
CLEAR_LINE = "\r\x1b[K"


@dataclass(frozen=True)
class WatchJob:
    """Tests to run: either one task's tests up to the first failure, or all tests of the module."""

    task: str | None
    whole: bool = False
    """Whether to continue after a failure."""
    after: str | None = None
    """The task whose failure is on the screen. After that, only the failure of an earlier task is worth showing."""
    aborted: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class SaveEvent:
    """A file that the tests depend on has changed."""


@dataclass(frozen=True)
class KeyEvent:
    """A key was pressed."""

    key: str


@dataclass(frozen=True)
class ProgressEvent:
    """Some of a job's tests have been run."""

    job: WatchJob
    done: int
    total: int
    title: str = ""
    """The title of the test that is running, or of the last one."""


@dataclass(frozen=True)
class JobEndEvent:
    """A job has ended with a result or, if its tests could not be run, with a description of the problem."""

    job: WatchJob
    result: Result | None
    problem: str = ""
    failed: frozenset[str | None] = frozenset()
    """The tasks of all failed tests."""


@dataclass(frozen=True)
class TickEvent:
    """A second has passed without another event while tests are running."""


Event = SaveEvent | KeyEvent | ProgressEvent | JobEndEvent | TickEvent
SLOW_SECONDS = 3.0
"""The time after which the progress line also shows which test is running and for how long."""


class Session:
    """The state of watching one module: which task is open, what is being tested, what is on the screen.

    ``begin`` starts a job, whose end is reported as an event. ``abort`` stops a job, and then nothing is reported.
    """

    def __init__(
        self,
        root: Path,
        manifest: Manifest,
        module: Module,
        out: Console,
        *,
        begin: Callable[[WatchJob], None],
        abort: Callable[[WatchJob], None],
        has_keys: bool,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.root, self.manifest, self.module, self.out = root, manifest, module, out
        self.open: Task | None = None
        """The task that the student is working on."""
        self.passed: set[str] = set()
        """Tasks whose tests passed when they were last run."""
        self._begin_job, self._abort, self._has_keys = begin, abort, has_keys
        self._running: WatchJob | None = None
        self._done, self._total = 0, 0
        self._title, self._since, self._clock = "", 0.0, clock
        self._news: list[RenderableType] = []
        """The lines that list what has passed since the last save."""
        self._failure: tuple[tuple[RenderableType, ...], Result] | None = None
        """The failure on the screen, and how far its tests got."""
        self._redraws = has_keys and out.is_terminal and not out.is_dumb_terminal

    def start(self) -> None:
        """Start testing the module to find the open task, which is the task of the first failing test."""
        self._start_job(WatchJob(None))

    def handle_event(self, event: Event) -> bool:
        """React to a save, a key, the tests' progress or end, or a tick; return False if the session should end."""
        match event:
            case SaveEvent():
                self._news.clear()
                self._start_job(WatchJob(self.open.id if self.open else None))
            case ProgressEvent(job, done, total, title) if job is self._running:
                self._done, self._total, self._title, self._since = done, total, title, self._clock()
                self._show_progress()
            case TickEvent():
                self._show_progress()
            case JobEndEvent(job, result, problem, failed) if job is self._running:
                self._running = None
                self._handle_finished_job(job, result, problem, failed)
            case KeyEvent(key):
                return self._handle_key(key.lower())
        return True

    def abort_and_say_how_to_continue(self) -> None:
        """Abort the running tests and print how to continue."""
        if self._running is not None:
            self._abort(self._running)
        where = f"Task {self.open.id} is open" if self.open else f"You were in module {self.module.id}"
        self._print_over_progress(
            Text.assemble(f"\n{where}. To continue: ", (f"tito watch {self.module.id[:2]}", "bold"))
        )

    def _handle_key(self, key: str) -> bool:
        """Carry out the action of a key. Return False if it ends the session."""
        if key in ("q", END):
            return False
        if key == "a":
            self._news.clear()
            self._start_job(WatchJob(None, whole=True))
        elif key in "hlt":
            self._show_failure_again()
            self._print_over_progress(Text())
            if key == "l":
                self._print_over_progress(*self._list_tasks_with_state())
            elif self.open is None:
                self._print_over_progress(Text("No task is open."))
            elif key == "h":
                show_next_hint(self.root, self.open, self.out, by_key=True)
            else:
                self._show_task(self.open)
            self._show_keys()
            self._show_progress()
        return True

    def _start_job(self, job: WatchJob) -> None:
        """Start a job, and abort the job that is running, which is out of date."""
        if self._running is not None:
            self._abort(self._running)
        self._running, self._done, self._total = job, 0, 0
        self._title, self._since = "", self._clock()
        self._show_progress()
        self._begin_job(job)

    @property
    def is_testing(self) -> bool:
        """Return whether tests are running."""
        return self._running is not None

    def _handle_finished_job(
        self, job: WatchJob, result: Result | None, problem: str, failed: frozenset[str | None]
    ) -> None:
        """Show a finished job, save a failing task or the completed module, and begin the next job if there is one."""
        if result is not None and (job.after is None or self._fails_before_task(result, job.after)):
            with suppress(OSError):  # only the next hint depends on this record
                save_failing_task(self.root, self.module.id, result, task=job.task)
        if result is None:
            self._redraw_screen(Text(f"\n{problem}", style="yellow"))
            self._show_keys()
        elif job.after and not self._fails_before_task(result, job.after):
            self._print_over_progress()
        elif result.verdict.exit_code != 0:
            self._update_open_and_passed_tasks(job, result, failed)
            told = tuple(self._describe_test_progress(job, result, failed))
            self._redraw_screen(*told)
            terminal_report.print_first_failure_and_notes(self.out, result)
            self._show_keys()
            self._failure = (told, result)
            if job.task in self._list_task_ids()[1:]:  # the cause may be in an earlier task
                self._start_job(WatchJob(None, after=job.task))
        elif job.task is not None:
            self.passed.add(job.task)
            self._add_success_line(f"Task {job.task} passes: {self.manifest.task(job.task).title}")
            self._redraw_screen()
            self.open = next((task for task in self.module.tasks if task.id not in self.passed), None)
            self._start_job(WatchJob(self.open.id if self.open else None))
        else:
            self.open, self.passed = None, {task.id for task in self.module.tasks}
            self._record_completion(result)

    def _list_task_ids(self) -> list[str]:
        """List the ids of the module's tasks."""
        return [task.id for task in self.module.tasks]

    def _fails_before_task(self, result: Result, task: str) -> bool:
        """Return whether the result's first failure is in an earlier task than this one."""
        ids, first = self._list_task_ids(), result.first_failure.task if result.first_failure else None
        return first in ids and ids.index(first) < ids.index(task)

    def _update_open_and_passed_tasks(self, job: WatchJob, result: Result, failed: frozenset[str | None]) -> None:
        """Update which task is open and which have passed."""
        ids = self._list_task_ids()
        failed |= {failure.task for failure in words.list_failures(result)}
        first = result.first_failure.task if result.first_failure else None
        opened = first if first in ids else job.task or next((one for one in ids if one not in self.passed), ids[0])
        if job.whole:
            self.passed = set(ids) - failed if failed & set(ids) else self.passed
        elif job.task is None and first in ids:
            self.passed |= set(ids[: ids.index(opened)])
        self.passed.discard(opened)
        self.open = self.manifest.task(opened)

    def _describe_test_progress(
        self, job: WatchJob, result: Result, failed: frozenset[str | None]
    ) -> Iterable[RenderableType]:
        """Yield what to show above a failure: the tasks' states, an earlier failing task, or how many tests pass."""
        if job.whole:
            yield from self._list_tasks_with_state(failed | {failure.task for failure in words.list_failures(result)})
        elif job.after and self.open is not None:
            yield Text(f"Task {self.open.id}, which comes before {job.after}, also fails and may be the cause.")
        elif self._done > 1:
            what = f"of task {job.task}" if job.task else "of the module"
            yield Text(f"{self._done - 1} of {self._total} tests {what} pass; the next one fails.", style="dim")

    def _record_completion(self, result: Result) -> None:
        """Record the completed module, unless that has been done already, and show what is next."""
        history = progress.read_history(self.root, thorough=False)
        if journey.find_module_state(self.manifest, history, self.module.id).completed_at is None:
            progress.save_event(
                self.root, progress.make_module_event(progress.Kind.MODULE_COMPLETED, self.module.id, result)
            )
            history = progress.read_history(self.root, thorough=False)
        self._news.clear()
        self._add_success_line(f"All tests of module {self.module.id} pass.")
        reasons = [Text(f"Provisional: {to_one_line(reason, 400)}") for reason in result.provisional_because]
        done = Text(f"\nModule {self.module.id} is completed.", style="bold green")
        following = format_goals_after_module(self.manifest, history, self.module.id)
        self._redraw_screen(*reasons, done, following)
        self._show_keys()

    def _show_task(self, task: Task) -> None:
        """Show the lesson's section about a task, or its title if there is no such section."""
        lesson = self.root / self.module.lesson
        text = lesson.read_text(encoding="utf-8", errors="replace") if lesson.is_file() else ""
        found = re.search(rf"^## Task {re.escape(task.id)}:.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        section = found[0] if found else f"## Task {task.id}: {task.title}"
        show_lesson(section, self.out, page=lambda out, part: out.print(part, crop=False))

    def _list_tasks_with_state(self, failed: Iterable[str | None] = ()) -> Iterable[RenderableType]:
        """Yield a line for each task: whether it failed, passed or is still to do, and whether it is the open one."""
        plain = self.out.options.ascii_only
        for task in self.module.tasks:
            sign, style = ("." if plain else "○"), ""
            if task.id in failed:
                sign, style = ("x" if plain else "✗"), "yellow"
            elif task.id in self.passed:
                sign, style = ("*" if plain else "●"), "green"
            here = (" (open)", "bold") if self.open is not None and task.id == self.open.id else ""
            yield format_list_item(sign, Text.assemble((f"Task {task.id}  {task.title}", style), here))

    def _add_success_line(self, text: str) -> None:
        """Add a line about a success since the last save, for the next time the screen is redrawn."""
        sign = "+" if self.out.options.ascii_only else "✓"
        self._news.append(format_list_item(sign, Text(text, style="green"), style="green", indent=0))

    def _redraw_screen(self, *parts: RenderableType) -> None:
        """Show what has passed and these parts, and forget the failure; first clear a terminal and show the title."""
        self._failure = None
        if self._redraws:
            self.out.clear()
            self._print_over_progress(Text(f"Module {self.module.id}: {self.module.title}", style="bold"))
        self._print_over_progress(*self._news, *parts)
        if not self._redraws:  # plain output stays where it was printed
            self._news.clear()

    def _show_failure_again(self) -> None:
        """On a terminal, show the last failure, if any, instead of what an earlier key showed: hints do not pile up."""
        if self._redraws and self._failure is not None:
            told, result = self._failure
            self._redraw_screen(*told)
            terminal_report.print_first_failure_and_notes(self.out, result)
            self._failure = (told, result)

    def _show_keys(self) -> None:
        """Show what each key does, if there is a keyboard."""
        if self._has_keys:
            self._print_over_progress(Text(KEYS, style="dim"))

    def _show_progress(self) -> None:
        """On a terminal, if tests are running, show one line that says which. The next progress line overwrites it."""
        if self._redraws and self._running is not None:
            what = f"task {self._running.task}" if self._running.task else f"module {self.module.id}"
            count = f": {self._done} of {self._total}" if self._total else ""
            line, seconds = f"Testing {what}{count}", self._clock() - self._since
            if seconds >= SLOW_SECONDS:
                title = f": {to_one_line(self._title)}" if self._title else ""
                line = f"{line}, {seconds:.0f} s{title}"
            # If the line wrapped, only its last part would be overwritten.
            self.out.file.write(f"{CLEAR_LINE}{cut_line(line, self.out.width - 1)}")
            self.out.file.flush()

    def _print_over_progress(self, *parts: RenderableType) -> None:
        """Print these parts over the progress line."""
        if self._redraws:
            self.out.file.write(CLEAR_LINE)
        for part in parts:
            self.out.print(part, crop=False)
