"""`tito milestone …` and `tito portfolio`: the attempt, the moment it unlocks, and what remains afterwards."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from rich.text import Text

from grading import progress
from grading.demos import demo_runner as demonstrations
from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.manifest.model import CriterionKind, Milestone
from grading.progress import FOLDER, make_attempt_event, read_history, save_event
from grading.quiz.answer_file import Answers, load_answers, save_answers
from grading.quiz.student_id import save_student_id
from grading.render.screen import Screen
from grading.result import Result, Verdict, Writing
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet, build_result
from tests.render.test_terminal_report import HOSTILE, build_hostile_result
from tito import attempt as attempts
from tito import celebrate
from tito import quiz as quizzes


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> list:
    """Set the results of the next attempts, in order; also collect the seeds of the demonstrations that were played."""
    planned: list = []

    def grade(_root: Path, number: int, **_: object) -> Result:
        """Return the next planned result."""
        assert number == 1
        return planned.pop(0)

    def play(_root: Path, _number: int, *, screen: Screen, seed: int) -> None:
        """Show one frame, and keep the seed."""
        screen.show_frame(Text("a frame"))
        planned.append(seed)

    monkeypatch.setattr(attempts, "grade_milestone", grade)
    monkeypatch.setattr(demonstrations, "run_demo", play)
    return planned


def test_an_attempt_is_shown_and_recorded(repo: Path, tito, grader: list) -> None:
    """A milestone that is not unlocked yet exits with 1, is in the history, and leads to help; there is no badge."""
    grader.append(build_not_yet())
    answer = tito("milestone", "test", "1")
    assert answer.code == 1
    assert "tito milestone troubleshoot 1" in answer.out
    assert read_history(repo).events[0].result == build_not_yet()
    assert not (repo / FOLDER / "badges").exists()


def test_an_error_exits_3_and_is_recorded(repo: Path, tito, grader: list) -> None:
    """The grader's error also counts as an attempt, and is not called a failure."""
    grader.append(build_result(build_criterion("error", None, explanation="No disk."), verdict=Verdict.ERROR))
    answer = tito("milestone", "test", "1")
    assert answer.code == 3
    assert "not your code" in answer.out
    assert read_history(repo).events[0].verdict == "error"


def test_unlocking_celebrates_once(repo: Path, tito, grader: list) -> None:
    """The first success shows medal, sentence, demonstration, badge, progress and next goal; the second does not."""
    milestone = load_manifest(repo).milestone(1)
    grader.append(build_result())
    answer = tito("milestone", "test", "1")
    assert answer.code == 0
    text = " ".join(answer.out.split())
    for part in (
        "MILESTONE UNLOCKED",
        milestone.unlocks,
        milestone.capabilities[0],
        "1 of 5 milestones",
        "Ahead: milestone 2",
    ):
        assert part in text
    assert grader == [42]
    ET.parse(repo / FOLDER / "badges" / "milestone-1.svg")  # noqa: S314 - our own output
    grader[:] = [build_result()]
    again = tito("milestone", "test", "1")
    assert again.code == 0
    assert "MILESTONE UNLOCKED" not in again.out
    assert "Your badge" in again.out
    assert grader == []
    assert len(read_history(repo).list_attempts(1)) == 2


@pytest.mark.usefixtures("repo")
def test_kept_figures_say_when_they_were_measured(tito, grader: list) -> None:
    """The report shows since when nothing has changed, and how to measure again."""
    at = datetime(2026, 11, 30, 8, 15, tzinfo=UTC)
    grader.append(build_result(build_criterion(measured_at=at)))
    answer = " ".join(tito("milestone", "test", "1").out.split())
    assert "measured at 2026-11-30 08:15 UTC; nothing they depend on has changed since" in answer
    assert "tito milestone test 1 --again" in answer
    grader[:] = [build_result()]
    assert "--again" not in tito("milestone", "test", "1").out


def test_open_questions_are_asked_before_anything_is_measured(repo: Path, tito, grader: list, monkeypatch) -> None:
    """On a terminal, answers are kept, and a student who postpones questions is still measured."""
    save_student_id(repo, "ada")
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        """Decline the first time, and agree the second time."""
        assert len(grader) == 1
        asked.append(question)
        return len(asked) > 1

    def converse(root: Path, milestone: Milestone, questions: tuple, kept: Answers, _out: object) -> Answers:
        """Answer 1 to every question, and save the answers."""
        assert len(grader) == 1
        answers = Answers(kept.student, {question.question_id: 1 for question in questions})
        save_answers(root, milestone.id, answers)
        return answers

    monkeypatch.setattr(quizzes, "can_ask", lambda _out: True)
    monkeypatch.setattr(quizzes.Confirm, "ask", confirm)
    monkeypatch.setattr(quizzes, "ask_questions", converse)
    for count in (1, 2):
        grader[:] = [build_not_yet()]
        assert "7 questions of this milestone are open." in tito("milestone", "test", "1").out
        assert len(asked) == count
        assert bool(load_answers(repo, 1).answers) is (count == 2)


@pytest.mark.parametrize("student", ["id: [", "id: bob\n"])
def test_damaged_or_foreign_answers_ask_nothing(repo: Path, tito, grader: list, monkeypatch, student: str) -> None:
    """The report says what is wrong with the answers; no question is asked before that."""
    (repo / "student.yaml").write_text(student)
    save_answers(repo, 1, Answers("ada", {"training_memory": 1}))
    monkeypatch.setattr(quizzes, "can_ask", lambda _out: True)
    monkeypatch.setattr(quizzes.Confirm, "ask", lambda *_, **__: pytest.fail("asked"))
    grader.append(build_not_yet())
    assert tito("milestone", "test", "1").code == 1


@pytest.mark.usefixtures("repo")
def test_from_provisional_to_unlocked_is_celebrated(tito, grader: list) -> None:
    """A provisional pass is marked as such; the full pass after it is celebrated again."""
    grader.append(build_result(verdict=Verdict.PROVISIONAL, provisional_because=("measured on a stand-in",)))
    first = tito("milestone", "test", "1")
    assert first.code == 0
    assert "PROVISIONALLY UNLOCKED" in first.out
    grader[:] = [build_result()]
    assert "MILESTONE UNLOCKED" in tito("milestone", "test", "1").out


def test_a_later_provisional_pass_leaves_the_badge(repo: Path, tito, grader: list) -> None:
    """The badge shows the best attempt, whatever the last one was."""
    stand_in = {"verdict": Verdict.PROVISIONAL, "provisional_because": ("measured on a stand-in",)}
    for outcome in (build_result(), build_result(**stand_in)):
        grader[:] = [outcome]
        assert tito("milestone", "test", "1").code == 0
    assert "Provisionally" not in (repo / FOLDER / "badges" / "milestone-1.svg").read_text(encoding="utf-8")


def test_a_demonstration_that_cannot_be_shown_takes_nothing_back(
    repo: Path, tito, grader: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The milestone stays unlocked, with its badge, and the problem is reported."""

    def fail(*_: object, **__: object) -> None:
        raise GraderError("no worker")

    monkeypatch.setattr(demonstrations, "run_demo", fail)
    grader.append(build_result())
    answer = tito("milestone", "test", "1")
    assert answer.code == 0
    assert "could not be shown: no worker" in answer.out
    assert (repo / FOLDER / "badges" / "milestone-1.svg").exists()


def test_a_demonstration_plays_or_says_what_stopped_it(
    repo: Path, tito, grader: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are drawn with the given seed; failing student code ends the demonstration with exit code 1."""
    answer = tito("milestone", "demo", "1", "--seed", "7")
    assert (answer.code, answer.out.strip()) == (0, "a frame")
    assert grader == [7]
    monkeypatch.setattr(demonstrations, "run_demo", lambda *_, **__: build_failure(hint="Write it first."))
    answer = tito("milestone", "demo", "1")
    assert answer.code == 1
    assert "stopped" in answer.out
    assert "Write it first." in answer.out
    assert read_history(repo).events == ()


@pytest.mark.usefixtures("repo")
def test_a_demonstration_without_a_page_says_which_has_one(tito) -> None:
    """Milestone 1 plays only in the terminal, and --no-browser requires --web. Otherwise it is wrong usage."""
    answer = tito("milestone", "demo", "1", "--web")
    assert answer.code == 2
    assert "runs only in the terminal" in answer.err
    assert "page: 2, 3" in answer.err
    assert "tito milestone demo 1" in answer.err
    answer = tito("milestone", "demo", "2", "--no-browser")
    assert answer.code == 2
    assert "tito milestone demo 2 --web --no-browser" in answer.err


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(("well", "code"), [(True, 0), (False, 1)])
def test_a_page_is_served(tito, monkeypatch: pytest.MonkeyPatch, *, well: bool, code: int) -> None:
    """The page uses the given seed, and opens in the browser by default; the exit code is 1 if student code failed."""
    served: list = []

    def serve(_root: Path, number: int, *, console: Console, seed: int, browser: bool) -> bool:
        """Keep the arguments, and return whether student code ran well."""
        assert not console.is_terminal
        served.append((number, seed, browser))
        return well

    monkeypatch.setattr(demonstrations, "serve_demo", serve)
    assert tito("milestone", "demo", "2", "--web").code == code
    assert tito("milestone", "demo", "2", "--web", "--seed", "7", "--no-browser").code == code
    assert served == [(2, 1, True), (2, 7, False)]


def test_confetti_falls_on_terminals_only(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The animation runs on a terminal; in a pipe, on a dumb terminal and in CI nothing moves."""
    milestone, naps = load_manifest(repo).milestone(1), []

    def party(**options: object) -> str:
        """Celebrate on a console with these options, and return what is shown."""
        naps.clear()
        stream = io.StringIO()
        celebrate.celebrate_milestone(
            Console(file=stream, width=60, **options), milestone, provisional=False, sleep=naps.append
        )
        return stream.getvalue()

    assert "\x1b" not in party()
    assert naps == []
    monkeypatch.setenv("TERM", "xterm")
    assert "MILESTONE UNLOCKED" in party(force_terminal=True)
    assert sum(naps) == pytest.approx(celebrate.SECONDS)
    monkeypatch.setenv("CI", "true")
    party(force_terminal=True)
    assert naps == []
    monkeypatch.delenv("CI")
    monkeypatch.setenv("TERM", "dumb")
    party(force_terminal=True)
    assert naps == []


def test_the_medal_can_be_seen_again(repo: Path, tito) -> None:
    """The medal is shown once the milestone is unlocked; before, the message says what measures it."""
    answer = tito("milestone", "celebrate", "1")
    assert answer.code == 1
    assert "tito milestone test 1" in answer.out
    progress.save_event(repo, progress.make_attempt_event(build_result()))
    answer = tito("milestone", "celebrate", "1")
    assert answer.code == 0
    assert "MILESTONE UNLOCKED: Basic Inference" in answer.out


def test_the_status_names_states_and_next_goal(repo: Path, tito) -> None:
    """COMPLETED, IN PROGRESS and LOCKED are shown with the milestones, and one command is next."""
    assert "IN PROGRESS" in tito("milestone", "status").out
    save_event(repo, make_attempt_event(build_not_yet()))
    assert "best attempt 0 of 2 criteria, 1 attempt" in tito("milestone", "status").out
    save_event(repo, make_attempt_event(build_result()))
    answer = tito("milestone", "status")
    assert "COMPLETED" in answer.out
    assert "LOCKED" in answer.out
    data = json.loads(tito("milestone", "status", "--json").out)
    assert [m["state"] for m in data["milestones"]] == ["completed", "in_progress"] + ["locked"] * 3
    assert data["milestones"][0]["attempts"] == 2
    assert data["next"]["command"].startswith("tito ")


def test_damage_is_told(repo: Path, tito) -> None:
    """The status reports a damaged record, with the place it was moved to."""
    (repo / FOLDER).mkdir()
    (repo / FOLDER / "bad.json").write_text("{")
    answer = tito("milestone", "status")
    assert answer.code == 0
    assert "set aside as progress/damaged/bad.json." in answer.out.replace("\n", "")


def test_the_timeline_has_dates_and_figures(repo: Path, tito) -> None:
    """Every module and milestone is a station; the unlocked one has its date and figures."""
    event = save_event(
        repo, make_attempt_event(build_result(build_criterion(), build_loss_criterion("passed", 0.0123)))
    )
    answer = tito("milestone", "timeline")
    course = load_manifest(repo)
    assert all(m.id in answer.out for m in course.modules)
    assert all(m.name in answer.out for m in course.milestones)
    assert "The loss after training is small: 0.012 (≤ 0.05)" in answer.out
    assert f"{event.name[:4]}-{event.name[4:6]}-{event.name[6:8]}" in answer.out
    data = json.loads(tito("milestone", "timeline", "--json").out)
    assert data["milestones"][0]["figures"][0]["measured"] == 0.0123
    assert data["modules"][0]["state"] == "completed"


def test_help_fits_what_failed_last(repo: Path, tito) -> None:
    """The failed criterion's topic and the first thing to fix are shown, other topics are not."""
    milestone = load_manifest(repo).milestone(1)
    tests = next(c for c in milestone.criteria if c.check == "module_tests")
    quiz = next(c for c in milestone.criteria if c.check == "quiz")
    save_event(repo, make_attempt_event(build_not_yet(criteria=(build_criterion("failed", 0.0, name=quiz.name),))))
    failed = build_criterion("failed", 0.9, name=tests.name, failures=(build_failure(),))
    save_event(
        repo, make_attempt_event(build_not_yet(criteria=(failed, build_criterion("passed", 1.0, name=quiz.name))))
    )
    answer = tito("milestone", "troubleshoot", "1")
    assert answer.code == 0
    assert "Task 2.3: A row is added" in answer.out
    assert "tensor.py:41" in answer.out
    data = json.loads(tito("milestone", "troubleshoot", "1", "--json").out)
    assert [t["topic"] for t in data["topics"]] == [tests.topic]
    assert data["first_to_mend"]["task"] == "2.3"
    assert data["topics"][0]["heading"] in answer.out


@pytest.mark.parametrize("unlocked", [False, True])
def test_with_nothing_failed_help_is_an_overview(repo: Path, tito, *, unlocked: bool) -> None:
    """Before the first attempt, and after unlocking, the topics and hints are listed."""
    if unlocked:
        save_event(repo, make_attempt_event(build_result()))
    answer = tito("milestone", "troubleshoot", "1")
    text = " ".join(answer.out.split())
    assert answer.code == 0
    assert ("is unlocked" in text) == unlocked
    assert all(" ".join(hint.split()) in text for hint in load_manifest(repo).milestone(1).hints)


def test_the_portfolio_lists_what_is_unlocked_with_evidence(repo: Path, tito) -> None:
    """It lists capabilities, date, figures, seed and digest as text, Markdown and JSON, for unlocked milestones."""
    assert "Nothing is unlocked yet" in tito("portfolio").out
    save_event(repo, make_attempt_event(build_not_yet()))
    assert json.loads(tito("portfolio", "--json").out) == []
    save_event(repo, make_attempt_event(build_result()))
    entry = json.loads(tito("portfolio", "--json").out)[0]
    assert (entry["milestone"], entry["seed"], entry["submission"]) == (1, 42, "d" * 64)
    assert entry["figures"][0]["measured"] == 0.0417
    for text in (tito("portfolio").out, tito("portfolio", "--markdown").out):
        flat = " ".join(text.split())
        for part in (entry["capabilities"][0], "2026-03-01", "seed 42", "d" * 16, "0.042"):
            assert part in flat


def test_figures_met_in_full_share_a_line(repo: Path, tito) -> None:
    """As on the site, each figure with a margin has a row, and figures without one share a line."""
    full = [
        build_criterion(kind=CriterionKind.PERFORMANCE, name=name, title=f"All of {name} is right")
        for name in ("a", "b")
    ]
    save_event(repo, make_attempt_event(build_result(*full, build_loss_criterion("passed", 0.0123))))
    for command in (("portfolio",), ("portfolio", "--markdown"), ("milestone", "timeline")):
        text = " ".join(tito(*command).out.replace("│", " ").split())
        assert "Met in full: All of a is right; All of b is right" in text
        assert "The loss after training is small: 0.012" in text
    assert len(json.loads(tito("portfolio", "--json").out)[0]["figures_text"]) == 3


def test_the_portfolio_shows_what_a_network_wrote(repo: Path, tito) -> None:
    """Prompt and completion are shown, marked correct or wrong; in Markdown as code that no fence in it can end."""
    wrote = (
        Writing(kind="function", prompt='def f(a):\n    """Return a."""', written="\n    return a", right=True),
        Writing(kind="story", prompt="Ben had a dog.", written="\n```\n# Passed", right=False),
    )
    save_event(repo, make_attempt_event(build_result(writings=wrote)))
    assert '│     """Return a."""\n│     return a\n' in tito("portfolio").out
    text = tito("portfolio", "--markdown").out
    assert "```python\ndef f(a):" in text
    assert "````text\nBen had a dog.\n```\n# Passed\n````" in text
    assert "the network's continuation: not all of it is true." in text


@pytest.mark.parametrize("command", ["status", "timeline", "troubleshoot", "portfolio", "doctor"])
@pytest.mark.parametrize(
    "forged",
    [
        build_hostile_result,
        lambda: build_result(build_loss_criterion(title=HOSTILE), reproduce=HOSTILE),
        lambda: build_result(writings=(Writing(kind="text", prompt=HOSTILE, written=HOSTILE),)),
    ],
)
def test_a_forged_record_cannot_drive_the_terminal(
    repo: Path, tito, command: str, forged: Callable[[], Result]
) -> None:
    """Escapes and markup in records, and in damaged records' names, are shown as text in every listing."""
    save_event(repo, make_attempt_event(forged()))
    (repo / FOLDER / "\x1b[31mred.json").write_text("{")
    arguments = {"portfolio": ("portfolio",), "doctor": ("doctor",), "troubleshoot": ("milestone", command, "1")}
    answer = tito(*arguments.get(command, ("milestone", command)))
    assert "\x1b" not in answer.out + answer.err
    assert "\x00" not in answer.out + answer.err


def test_every_documented_key_is_printed(repo: Path, tito) -> None:
    """The shapes of `--json` match docs/result-format.md."""
    wrote = Writing(kind="text", prompt="What light", written=" is it")
    save_event(repo, make_attempt_event(build_result(writings=(wrote,))))
    document = (Path(__file__).resolve().parents[2] / "docs" / "result-format.md").read_text(encoding="utf-8")
    shapes = document[document.index("## What `--json` prints") :]

    def keys(value: object) -> set[str]:
        """Collect the keys of all mappings in a JSON value."""
        if isinstance(value, dict):
            return set(value) | {k for v in value.values() for k in keys(v)}
        return {k for v in value for k in keys(v)} if isinstance(value, list) else set()

    commands = (
        ("module", "list"), ("milestone", "status"), ("milestone", "timeline"), ("portfolio",), ("doctor",)
    )  # fmt: skip
    for command in commands:
        printed = keys(json.loads(tito(*command, "--json").out))
        assert printed
        assert not {key for key in printed if f"`{key}`" not in shapes}
    assert progress.SCHEMA in document
