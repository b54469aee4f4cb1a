"""What `tito watch` does when a file was saved, a key pressed, or tests have ended. It starts nothing itself."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from grading import journey, progress
from grading.manifest.model import Manifest, Module, Task
from grading.render import terminal, words
from grading.render.text import one_line
from grading.result import Result
from tito.console import item
from tito.hints import show_next_hint
from tito.keys import END
from tito.lesson import show_lesson

KEYS = "h hint  l list  t task  a all  q quit"
CLEAR_LINE = "\r\x1b[K"


@dataclass(frozen=True)
class Job:
    """Tests to run: those of one task up to the first failure, or all of the module's."""

    task: str | None
    whole: bool = False
    """Whether to go on after a failure."""
    after: str | None = None
    """The task whose failure is on the screen: only a task before it that fails as well is news."""
    aborted: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Saved:
    """A file that the tests depend on has changed."""


@dataclass(frozen=True)
class Pressed:
    """A key was pressed."""

    key: str


@dataclass(frozen=True)
class Advanced:
    """So many tests of a job have been run."""

    job: Job
    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    """A job has ended, with a result or, where the tests could not be run, with what the matter is."""

    job: Job
    result: Result | None
    problem: str = ""


Event = Saved | Pressed | Advanced | Finished


class Session:
    """One module under watch: which task is open, what is being tested, what is on the screen.

    ``begin`` is to run a job and to report its end as an event; ``abort`` is to end one soon, which reports nothing.
    """

    def __init__(
        self,
        root: Path,
        manifest: Manifest,
        module: Module,
        out: Console,
        *,
        begin: Callable[[Job], None],
        abort: Callable[[Job], None],
        has_keys: bool,
    ):
        self.root, self.manifest, self.module, self.out = root, manifest, module, out
        self.open: Task | None = None
        """The task that is worked on."""
        self.passed: set[str] = set()
        """Tasks whose tests have passed, with the files as they were then."""
        self._begin_job, self._abort, self._has_keys = begin, abort, has_keys
        self._running: Job | None = None
        self._done, self._total = 0, 0
        self._news: list[RenderableType] = []
        """What has passed since the last save."""
        self._redraws = has_keys and out.is_terminal and not out.is_dumb_terminal

    def start(self) -> None:
        """Find the open task: that of the first test that fails."""
        self._begin(Job(None))

    def handle(self, event: Event) -> bool:
        """Do what an event asks for; False when the session is to end."""
        match event:
            case Saved():
                self._news.clear()
                self._begin(Job(self.open.id if self.open else None))
            case Advanced(job, done, total) if job is self._running:
                self._done, self._total = done, total
                self._show_progress()
            case Finished(job, result, problem) if job is self._running:
                self._running = None
                self._finish(job, result, problem)
            case Pressed(key):
                return self._press(key.lower())
        return True

    def stop(self) -> None:
        """End what is being tested, and say how to go on."""
        if self._running is not None:
            self._abort(self._running)
        where = f"Task {self.open.id} is open" if self.open else f"You were in module {self.module.id}"
        self._print(Text.assemble(f"\n{where}. To go on: ", (f"tito watch {self.module.id[:2]}", "bold")))

    def _press(self, key: str) -> bool:
        if key in ("q", END):
            return False
        if key == "a":
            self._news.clear()
            self._begin(Job(None, whole=True))
        elif key in "hlt":
            self._print(Text())
            if key == "l":
                self._print(*self._list_tasks())
            elif self.open is None:
                self._print(Text("No task is open."))
            elif key == "h":
                show_next_hint(self.root, self.open, self.out)
            else:
                self._show_task(self.open)
            self._show_keys()
            self._show_progress()
        return True

    def _begin(self, job: Job) -> None:
        """Run a job; the one that runs is out of date."""
        if self._running is not None:
            self._abort(self._running)
        self._running, self._done, self._total = job, 0, 0
        self._show_progress()
        self._begin_job(job)

    def _finish(self, job: Job, result: Result | None, problem: str) -> None:
        if result is None:
            self._draw(Text(f"\n{problem}", style="yellow"))
            self._show_keys()
        elif job.after and not self._comes_before(result, job.after):
            self._print()
        elif result.verdict.exit_code != 0:
            self._note_failures(job, result)
            self._draw(*self._describe_failing(job, result))
            terminal.show_first_failure(self.out, result)
            self._show_keys()
            if job.task in self._list_ids()[1:]:  # what it fails for may be in an earlier one
                self._begin(Job(None, after=job.task))
        elif job.task is not None:
            self.passed.add(job.task)
            self._add_news(f"Task {job.task} passes: {self.manifest.task(job.task).title}")
            self._draw()
            self.open = next((task for task in self.module.tasks if task.id not in self.passed), None)
            self._begin(Job(self.open.id if self.open else None))
        else:
            self.open, self.passed = None, {task.id for task in self.module.tasks}
            self._complete(result)

    def _list_ids(self) -> list[str]:
        return [task.id for task in self.module.tasks]

    def _comes_before(self, result: Result, task: str) -> bool:
        """Whether the first failure is in an earlier task of the module."""
        ids, first = self._list_ids(), result.first_to_mend.task if result.first_to_mend else None
        return first in ids and ids.index(first) < ids.index(task)

    def _note_failures(self, job: Job, result: Result) -> None:
        """Which task is open now, and which have passed."""
        ids = self._list_ids()
        failed = {failure.task for failure in words.failures(result)}
        first = result.first_to_mend.task if result.first_to_mend else None
        opened = first if first in ids else job.task or next((one for one in ids if one not in self.passed), ids[0])
        if job.whole:
            self.passed = set(ids) - failed if failed & set(ids) else self.passed
        elif job.task is None and first in ids:
            self.passed |= set(ids[: ids.index(opened)])
        self.passed.discard(opened)
        self.open = self.manifest.task(opened)

    def _describe_failing(self, job: Job, result: Result) -> Iterable[RenderableType]:
        """How far the tests came."""
        if job.whole:
            failed = {failure.task for failure in words.failures(result)}
            yield from self._list_tasks(failed)
        elif job.after and self.open is not None:
            yield Text(f"Task {self.open.id}, which comes before {job.after}, fails too and may be the reason.")
        elif self._done > 1:
            what = f"of task {job.task}" if job.task else "of the module"
            yield Text(f"{self._done - 1} of {self._total} tests {what} pass; the next one fails.", style="dim")

    def _complete(self, result: Result) -> None:
        """All tests pass: record it, unless that has been done, and say what is next."""
        history = progress.read(self.root, thorough=False)
        if journey.find_module_state(self.manifest, history, self.module.id).completed_at is None:
            progress.record(self.root, progress.module_event(progress.Kind.MODULE_COMPLETED, self.module.id, result))
            history = progress.read(self.root, thorough=False)
        self._news.clear()
        self._add_news(f"All tests of module {self.module.id} pass.")
        goal = journey.next_goal(self.manifest, history)
        reasons = [Text(f"Provisional: {one_line(reason, 400)}") for reason in result.provisional_because]
        done = Text(f"\nModule {self.module.id} is completed.", style="bold green")
        following = Text.assemble(f"Next: {goal.sentence}\n", (f"  {goal.command}", "bold"))
        self._draw(*reasons, done, following)
        self._show_keys()

    def _show_task(self, task: Task) -> None:
        """What the lesson says about a task; without such a section, its title."""
        lesson = self.root / self.module.lesson
        text = lesson.read_text(encoding="utf-8", errors="replace") if lesson.is_file() else ""
        found = re.search(rf"^## Task {re.escape(task.id)}:.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        section = found[0] if found else f"## Task {task.id}: {task.title}"
        show_lesson(section, self.out, page=lambda out, part: out.print(part, crop=False))

    def _list_tasks(self, failed: Iterable[str | None] = ()) -> Iterable[RenderableType]:
        """Every task: passed, open or still to come."""
        plain = self.out.options.ascii_only
        for task in self.module.tasks:
            sign, style = ("." if plain else "○"), ""
            if task.id in failed:
                sign, style = ("x" if plain else "✗"), "yellow"
            elif task.id in self.passed:
                sign, style = ("*" if plain else "●"), "green"
            here = (" (open)", "bold") if self.open is not None and task.id == self.open.id else ""
            yield item(sign, Text.assemble((f"Task {task.id}  {task.title}", style), here))

    def _add_news(self, text: str) -> None:
        sign = "+" if self.out.options.ascii_only else "✓"
        self._news.append(item(sign, Text(text, style="green"), style="green", indent=0))

    def _draw(self, *parts: RenderableType) -> None:
        """Show the module, what has passed and these parts: on a terminal in place of what was there."""
        if self._redraws:
            self.out.clear()
            self._print(Text(f"Module {self.module.id}: {self.module.title}", style="bold"))
        self._print(*self._news, *parts)
        if not self._redraws:  # it stays where it was printed
            self._news.clear()

    def _show_keys(self) -> None:
        if self._has_keys:
            self._print(Text(KEYS, style="dim"))

    def _show_progress(self) -> None:
        """One line that says what is being tested, overwritten by the next."""
        if self._redraws and self._running is not None:
            what = f"task {self._running.task}" if self._running.task else f"module {self.module.id}"
            count = f": {self._done} of {self._total}" if self._total else ""
            self.out.file.write(f"{CLEAR_LINE}Testing {what}{count}")
            self.out.file.flush()

    def _print(self, *parts: RenderableType) -> None:
        if self._redraws:
            self.out.file.write(CLEAR_LINE)
        for part in parts:
            self.out.print(part, crop=False)
