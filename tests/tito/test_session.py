"""`tito watch` as events arrive: what is tested next, what is shown, what each key does."""

from __future__ import annotations

import io
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from grading import progress
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.result import Result, Verdict
from tests.render.results import build_criterion, build_failure, build_result
from tito.hints import read_failing_tasks
from tito.session import KEYS, JobEndEvent, KeyEvent, ProgressEvent, SaveEvent, Session, TickEvent, WatchJob

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    """Load the course's manifest."""
    return load_manifest(root)


@pytest.fixture
def repo(root: Path, tmp_path: Path) -> Path:
    """Create a student's repository, from which a session reads only the lesson."""
    lesson = tmp_path / "modules/04_layers/README.md"
    lesson.parent.mkdir(parents=True)
    shutil.copy(root / "modules/04_layers/README.md", lesson)
    return tmp_path


class Desk:
    """A session over module 04 with a screen and simulated test runs."""

    def __init__(self, root: Path, manifest: Manifest, *, terminal: bool = True, width: int = 100):
        self.screen = io.StringIO()
        out = Console(file=self.screen, force_terminal=terminal, width=width, highlight=False, legacy_windows=False)
        self.now = 0.0
        self.jobs: list[WatchJob] = []
        self.aborted: list[WatchJob] = []
        self.session = Session(
            root,
            manifest,
            manifest.module("04_layers"),
            out,
            begin=self.jobs.append,
            abort=self.aborted.append,
            has_keys=terminal,
            clock=lambda: self.now,
        )
        self.session.start()

    @property
    def testing(self) -> str | None:
        """Return the task of the newest job."""
        return self.jobs[-1].task

    def see(self, *events: SaveEvent | KeyEvent | ProgressEvent | JobEndEvent | TickEvent) -> str:
        """Return the screen after these events, without colours."""
        self.screen.seek(0)
        self.screen.truncate()
        for event in events:
            self.session.handle_event(event)
        return ESCAPES.sub("", self.screen.getvalue().rpartition("\x1b[H")[2])

    def end(self, *tasks: str | None, job: WatchJob | None = None, **changes: object) -> str:
        """Finish the last job's tests, with a failure in each of these tasks."""
        return self.see(JobEndEvent(job or self.jobs[-1], make_result(*tasks, **changes)))


def make_result(*tasks: str | None, **changes: object) -> Result:
    """Make a result of module 04 in which these tasks fail."""
    failures = tuple(build_failure(task=task) for task in tasks)
    one = build_criterion("failed", 0.5, failures=failures) if tasks else build_criterion()
    verdict = Verdict.NOT_YET if tasks else Verdict.UNLOCKED
    module = {"milestone": None, "module": "04_layers", "name": "Layers", "medal": None, "curves": ()}
    return build_result(one, **{"verdict": verdict, **module, **changes})


@pytest.fixture
def desk(repo: Path, manifest: Manifest) -> Desk:
    """Create a session on a wide terminal."""
    return Desk(repo, manifest)


def test_the_first_test_that_fails_opens_its_task(desk: Desk) -> None:
    """All tests run first. Then a save runs those of the open task, and the failure is explained."""
    assert desk.testing is None
    shown = desk.end("4.3")
    for words in ("Module 04_layers", "Task 4.3: A row is added", "NumPy broadcasts when", "pytest modules/", KEYS):
        assert words in shown
    desk.see(SaveEvent())
    assert desk.testing == "4.3"


def test_a_task_that_passes_leads_to_the_next_that_has_not(desk: Desk) -> None:
    """No further save is needed, and what has passed stays on the screen with the next failure."""
    desk.end("4.3")
    desk.see(SaveEvent())
    assert "Task 4.3 passes" in desk.end()
    assert desk.testing == "4.4"
    shown = desk.end("4.4")
    assert "Task 4.3 passes" in shown
    assert "Task 4.4: " in shown
    assert "Task 4.3 passes" not in desk.see(SaveEvent(), JobEndEvent(desk.jobs[-1], make_result("4.4")))


def test_an_earlier_task_that_broke_is_named(desk: Desk) -> None:
    """If the open task fails, earlier tasks are tested again, since what broke there may be the reason."""
    desk.end("4.3")
    desk.see(SaveEvent())
    assert "Task 4.3: A row is added" in desk.end("4.3")
    assert desk.testing is None
    shown = desk.end("4.2")
    assert "Task 4.2, which comes before 4.3, also fails and may be the cause." in shown
    assert "Task 4.2: A row is added" in shown
    desk.see(SaveEvent())
    assert desk.testing == "4.2"
    assert "Task 4.2 passes" in desk.end()
    assert desk.testing == "4.3"


def test_the_same_failure_is_not_shown_twice(desk: Desk) -> None:
    """If nothing before the open task fails, the screen stays and nothing more is tested."""
    desk.end("4.3")
    desk.see(SaveEvent())
    desk.end("4.3")
    jobs = len(desk.jobs)
    assert desk.end("4.3").strip() == ""
    assert len(desk.jobs) == jobs
    desk.see(SaveEvent())
    assert desk.testing == "4.3"


def test_a_task_that_was_left_out_is_not_forgotten(desk: Desk) -> None:
    """If a later task's gap is in the way, that task opens first and the earlier one after it."""
    desk.end("4.3")
    desk.see(SaveEvent())
    desk.end("4.5")
    desk.see(SaveEvent())
    assert desk.testing == "4.5"
    desk.end()
    assert desk.testing == "4.3"


@pytest.mark.parametrize("elsewhere", ["2.5", None])
def test_a_failure_outside_the_module_leaves_the_task_open(desk: Desk, elsewhere: str | None) -> None:
    """A gap of an earlier module, or a file that is not Python: the next save tests the same task."""
    desk.end("4.3")
    desk.see(SaveEvent())
    desk.end(elsewhere)
    desk.see(SaveEvent())
    assert desk.testing == "4.3"


def test_before_any_task_is_open_it_is_the_first(desk: Desk) -> None:
    """So a file that is not Python from the beginning has a task to go on with."""
    desk.end(None)
    assert desk.session.open is not None
    assert desk.session.open.id == "4.1"


def test_a_save_during_a_test_starts_again_with_the_newest(desk: Desk) -> None:
    """The run that is out of date is aborted; if it ends all the same, nobody hears of it."""
    desk.end("4.3")
    desk.see(SaveEvent())
    old = desk.jobs[-1]
    desk.see(SaveEvent())
    assert desk.aborted == [old]
    assert desk.jobs[-1] is not old
    assert desk.see(JobEndEvent(old, make_result())) == ""
    assert desk.testing == "4.3"
    assert "Task 4.3" in desk.end("4.3")


def test_the_end_of_a_module_is_recorded_once_and_says_what_is_next(desk: Desk, repo: Path) -> None:
    """After the last task all tests run together; then the module is completed, and the next command is shown."""
    for earlier in ("01_setup", "02_tensor", "03_activations"):
        progress.save_event(repo, progress.make_module_event(progress.Kind.MODULE_COMPLETED, earlier))
    desk.end("4.9")
    desk.see(SaveEvent())
    desk.end()
    assert desk.testing is None
    shown = desk.end()
    for words in ("All tests of module 04_layers pass", "is completed", "Unlock milestone 1", "tito milestone test 1"):
        assert words in shown
    desk.see(SaveEvent())
    assert desk.testing is None
    desk.end()
    kinds = [
        event.module for event in progress.read_history(repo).events if event.kind is progress.Kind.MODULE_COMPLETED
    ]
    assert kinds.count("04_layers") == 1


def test_a_module_that_no_longer_passes_together_is_not_completed(desk: Desk, repo: Path) -> None:
    """A later task that broke an earlier one opens that again."""
    desk.end("4.9")
    desk.see(SaveEvent())
    desk.end()
    assert "Task 4.2" in desk.end("4.2")
    assert not progress.read_history(repo).events
    desk.see(SaveEvent())
    assert desk.testing == "4.2"
    desk.end()
    assert desk.testing is None


def test_a_provisional_pass_says_why(desk: Desk) -> None:
    """One reason is that files of the course were changed."""
    reason = "course files differ from the release: milestones.yaml"
    desk.end("4.9")
    desk.see(SaveEvent())
    desk.end()
    assert reason in desk.end(verdict=Verdict.PROVISIONAL, provisional_because=(reason,))


def test_h_shows_one_hint_after_the_other(desk: Desk, manifest: Manifest) -> None:
    """Hints belong to the open task, as with `tito hint`."""
    desk.end("4.3")
    task = manifest.task("4.3")
    for hint in task.hints[:2]:
        shown = " ".join(desk.see(KeyEvent("h")).split())
        assert " ".join(hint.split()) in shown


def test_each_hint_is_shown_once_and_does_not_pile_up(desk: Desk, manifest: Manifest) -> None:
    """Each key replaces what the previous one showed; a fourth `h` shows where to read on instead of a hint."""
    desk.end("4.3")
    hints = [" ".join(hint.split()) for hint in manifest.task("4.3").hints]
    for number, hint in enumerate(hints):
        shown = " ".join(desk.see(KeyEvent("h")).split())
        assert "A row is added" in shown  # the failure stays on the screen
        assert [one in shown for one in hints] == [place == number for place in range(len(hints))]
        assert hint in shown
        assert "tito hint" not in shown
    assert "That was the last hint. For the lesson on this task, press t." in shown
    shown = " ".join(desk.see(KeyEvent("h")).split())
    assert not any(hint in shown for hint in hints)
    assert "You have seen all 3 hints for task 4.3. For the lesson on it, press t." in shown


def test_a_failure_under_watch_is_known_to_the_next_hint(desk: Desk, repo: Path) -> None:
    """The task of the first failure, until its tests pass."""
    desk.end("4.3")
    assert read_failing_tasks(repo) == {"04_layers": "4.3"}
    desk.see(SaveEvent())
    desk.end()
    assert read_failing_tasks(repo) == {}


def test_l_lists_the_tasks(desk: Desk, manifest: Manifest) -> None:
    """The list shows tasks that passed, the open one, and those still to come."""
    desk.end("4.3")
    lines = desk.see(KeyEvent("l")).splitlines()
    signs = {line.split()[2]: line.split()[0] for line in lines if re.match(r" *[●○✗] Task", line)}
    assert list(signs) == [task.id for task in manifest.module("04_layers").tasks]
    assert [signs[one] for one in ("4.1", "4.2", "4.3", "4.4")] == ["●", "●", "○", "○"]
    assert [line for line in lines if "(open)" in line] == [line for line in lines if "○ Task 4.3" in line]


def test_t_shows_what_the_lesson_says_on_the_task(desk: Desk) -> None:
    """Only the task's own section is shown."""
    desk.end("4.3")
    shown = desk.see(KeyEvent("t"))
    assert "Task 4.3: Dense" in shown
    assert len(shown.splitlines()) > 10
    assert "Task 4.4" not in shown


def test_t_needs_no_lesson(desk: Desk, repo: Path) -> None:
    """If the task has no section, its title is shown."""
    (repo / "modules/04_layers/README.md").unlink()
    desk.end("4.3")
    assert "Task 4.3: Dense" in desk.see(KeyEvent("t"))


def test_a_runs_all_tests_and_tells_of_every_task(desk: Desk) -> None:
    """All tests replace the current run and go to the end; the first failure is explained, and its task is open."""
    desk.end("4.3")
    desk.see(SaveEvent(), KeyEvent("a"))
    assert desk.aborted == [desk.jobs[-2]]
    assert (desk.testing, desk.jobs[-1].whole) == (None, True)
    shown = desk.end("4.2", "4.7")
    signs = [line.split()[0] for line in shown.splitlines() if re.match(r" *\S Task 4\.\d ", line)]
    assert signs == ["●", "✗", "●", "●", "●", "●", "✗", "●", "●"]
    assert desk.session.open is not None
    assert desk.session.open.id == "4.2"


def test_tasks_whose_failures_have_one_cause_all_fail(desk: Desk) -> None:
    """A result shows one of them, and the list marks every task."""
    desk.end("4.3")
    desk.see(KeyEvent("a"))
    shown = desk.see(JobEndEvent(desk.jobs[-1], make_result("4.2"), failed=frozenset({"4.2", "4.5"})))
    signs = [line.split()[0] for line in shown.splitlines() if re.match(r" *[●○✗] Task", line)]
    assert signs == ["●", "✗", "●", "●", "✗", "●", "●", "●", "●"]
    assert desk.session.passed == {f"4.{n}" for n in range(1, 10)} - {"4.2", "4.5"}


def test_a_slow_test_is_named_with_its_seconds(desk: Desk) -> None:
    """It is shown after three seconds, on one line, however narrow; a quick test is only counted."""
    desk.see(ProgressEvent(desk.jobs[-1], 4, 16, "Dense sleeps " * 20))
    assert desk.see(TickEvent()).endswith("Testing module 04_layers: 4 of 16")
    desk.now += 4.2
    shown = desk.see(TickEvent()).strip()
    assert shown.startswith("Testing module 04_layers: 4 of 16, 4 s: Dense sleeps Dense")
    assert len(shown) < 100


def test_q_ends_it(desk: Desk) -> None:
    """A capital Q works too; other keys do nothing.

    A running test is aborted, and the message explains how to continue.
    """
    desk.end("4.3")
    before = len(desk.jobs)
    for key in "x?\n1":
        assert desk.session.handle_event(KeyEvent(key))
    assert len(desk.jobs) == before
    desk.see(SaveEvent())
    assert not desk.session.handle_event(KeyEvent("q"))
    assert not desk.session.handle_event(KeyEvent("Q"))
    assert not desk.session.handle_event(KeyEvent("\x04"))
    desk.session.abort_and_say_how_to_continue()
    assert desk.aborted == [desk.jobs[-1]]
    assert "Task 4.3 is open. To continue: tito watch 04" in ESCAPES.sub("", desk.screen.getvalue())


def test_tests_that_cannot_be_run_say_why(desk: Desk) -> None:
    """The next save tries again."""
    desk.end("4.3")
    desk.see(SaveEvent())
    assert "restore them" in desk.see(JobEndEvent(desk.jobs[-1], None, "Missing: a test. Please restore them."))
    desk.see(SaveEvent())
    assert desk.testing == "4.3"


def test_a_failure_of_the_machine_is_named_as_such(desk: Desk) -> None:
    """The message does not present it as something to fix in the code."""
    broken = build_criterion("error", None, explanation="a worker cannot be started on this machine")
    desk.end("4.3")
    desk.see(SaveEvent())
    ended = make_result().model_copy(update={"criteria": (broken,), "verdict": Verdict.ERROR})
    shown = " ".join(desk.see(JobEndEvent(desk.jobs[-1], ended)).split())
    assert "failed, not your code" in shown
    assert "a worker cannot be started" in shown


def test_how_far_the_tests_came_is_said(desk: Desk) -> None:
    """Progress is shown while tests run, and with the first failure."""
    desk.end("4.3")
    desk.see(SaveEvent())
    job = desk.jobs[-1]
    assert desk.see(ProgressEvent(job, 4, 9)).endswith("Testing task 4.3: 4 of 9")
    assert "3 of 9 tests of task 4.3 pass; the next one fails." in desk.end("4.3")


def test_without_a_terminal_it_prints_plainly(repo: Path, manifest: Manifest) -> None:
    """There are no control characters or keys, nothing is overwritten, and each thing is printed once."""
    desk = Desk(repo, manifest, terminal=False)
    first = desk.end("4.3")
    desk.session.handle_event(SaveEvent())
    whole = desk.end() + desk.end("4.4")
    assert "Task 4.3: " in first
    assert whole.count("Task 4.3 passes") == 1
    assert KEYS not in first
    assert "\x1b" not in desk.screen.getvalue()
    assert "\r" not in desk.screen.getvalue()


def test_no_color_is_honoured(repo: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal with NO_COLOR is cleared, but nothing on it is coloured."""
    monkeypatch.setenv("NO_COLOR", "1")
    desk = Desk(repo, manifest)
    desk.end("4.3")
    desk.see(SaveEvent())
    desk.end()
    colours = re.findall(r"\x1b\[[0-9;]*m", desk.screen.getvalue())
    assert not [one for one in colours if re.search(r"\b(3[0-7]|9[0-7]|38|48)\b", one)]


def test_it_fits_forty_columns(repo: Path, manifest: Manifest) -> None:
    """Only commands to copy are exempt, since they are never broken."""
    desk = Desk(repo, manifest, width=40)
    desk.session.handle_event(ProgressEvent(desk.jobs[-1], 9, 16))
    shown = desk.end("4.3") + desk.see(KeyEvent("l")) + desk.see(KeyEvent("h"))
    too_long = [line for line in shown.splitlines() if len(line) > 40]
    assert all(line.startswith("  pytest ") for line in too_long)
    assert len(KEYS) <= 40


def test_a_record_that_cannot_be_written_is_an_error(desk: Desk, repo: Path) -> None:
    """The disk's error is not hidden behind a module that seems completed."""
    (repo / progress.FOLDER).write_text("not a folder")
    desk.end("4.9")
    desk.see(SaveEvent())
    desk.end()
    with pytest.raises(OSError, match="progress"):
        desk.end()


def test_a_module_completed_before_is_not_recorded_again(desk: Desk, repo: Path) -> None:
    """Watching a completed module changes no history."""
    done = progress.Event(progress.Kind.MODULE_COMPLETED, datetime.now(UTC), module="04_layers")
    progress.save_event(repo, done)
    assert "is completed" in desk.end()
    assert len(progress.read_history(repo).events) == 1
