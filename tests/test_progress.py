"""A student's history loses nothing, and what follows from it is right."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from grading import journey, progress
from grading.journey import State
from grading.progress import (
    DAMAGED,
    FOLDER,
    Event,
    History,
    Kind,
    make_attempt_event,
    make_module_event,
    read_history,
    save_event,
)
from grading.result import Verdict
from tests.render.results import build_criterion, build_loss_criterion, build_not_yet, build_result
from tito.outline import Outline, OutlineMilestone, OutlineModule

COURSE = Outline(
    modules=(
        OutlineModule("01_setup", "Setup", "built"),
        OutlineModule("02_tensor", "Tensor", "built"),
        OutlineModule("03_dense", "Dense", "built"),
        OutlineModule("04_vision", "Vision", "planned"),
    ),
    milestones=(
        OutlineMilestone(1, "Inference", "Medal", "02_tensor", "built"),
        OutlineMilestone(2, "Depth", "Medal", "03_dense", "built"),
        OutlineMilestone(3, "Vision", "Medal", "04_vision", "planned"),
    ),
)
START = datetime(2026, 3, 1, tzinfo=UTC)


def make_completed_events(*modules: str) -> tuple[Event, ...]:
    """Make the events of completing these modules, a day apart."""
    return tuple(
        Event(Kind.MODULE_COMPLETED, START + timedelta(days=i), module=module) for i, module in enumerate(modules)
    )


def make_attempt(milestone: int, verdict: str, day: int, met: int = 1) -> Event:
    """Make an attempt at a milestone that meets this number of criteria."""
    criteria = [{"status": "passed"}] * met + [{"status": "failed"}]
    raw = {"milestone": milestone, "verdict": verdict, "criteria": criteria}
    return Event(Kind.MILESTONE_ATTEMPTED, START + timedelta(days=day), milestone=milestone, raw=raw)


def list_states(history: History) -> list[State]:
    """List the states of the milestones."""
    return [s.state for s in journey.list_milestone_states(COURSE, history)]


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    """Events come back as they were, results whole, oldest first."""
    events = [
        make_module_event(Kind.MODULE_STARTED, "01_setup"),
        make_attempt_event(build_not_yet()),
        make_attempt_event(build_result()),
    ]
    for event in reversed(events):
        save_event(tmp_path, event)
    history = read_history(tmp_path)
    assert history == History(tuple(events))
    assert history.events[1].result == build_not_yet()
    assert history.find_best_attempt(1).verdict == "unlocked"


def test_nothing_recorded_is_an_empty_history(tmp_path: Path) -> None:
    """A repository without progress has no events and no folder is made."""
    assert read_history(tmp_path) == History()
    assert list(tmp_path.iterdir()) == []


def _record_many(root: Path, process: int) -> None:
    """Record 25 events, as one of several processes."""
    for i in range(25):
        save_event(root, Event(Kind.MODULE_STARTED, START, module=f"{i:02}_p{process}"))


def test_concurrent_runs_lose_nothing(tmp_path: Path) -> None:
    """Four processes that record a hundred events of the same instant leave a hundred whole records."""
    with ProcessPoolExecutor(4) as pool:
        for future in [pool.submit(_record_many, tmp_path, process) for process in range(4)]:
            future.result()
    history = read_history(tmp_path)
    assert len({e.module for e in history.events}) == len(history.events) == 100
    assert history.damaged == ()
    assert [p.name for p in (tmp_path / FOLDER).iterdir() if p.suffix != ".json"] == []


def test_a_record_never_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a name is taken after all, the record in place stays as it is and no half file is left."""
    monkeypatch.setattr(progress.secrets, "token_hex", lambda _n: "same")
    first = save_event(tmp_path, Event(Kind.MODULE_STARTED, START, module="01_setup"))
    before = first.read_bytes()
    with pytest.raises(FileExistsError):
        save_event(tmp_path, Event(Kind.MODULE_STARTED, START, module="02_tensor"))
    assert first.read_bytes() == before
    assert list((tmp_path / FOLDER).iterdir()) == [first]


def test_file_systems_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where links are refused, the record is renamed into place."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    save_event(tmp_path, Event(Kind.MODULE_STARTED, START, module="01_setup"))
    assert [e.module for e in read_history(tmp_path).events] == ["01_setup"]


GOOD = {
    "record": progress.SCHEMA,
    "kind": "module_started",
    "at": "2026-03-01T00:00:00+00:00",
    "module": "01_setup",
    "milestone": None,
    "result": None,
}
ATTEMPT = GOOD | {"kind": "milestone_attempted", "module": None, "milestone": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"<<<<<<< HEAD\n", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"NaN", "not JSON"),
        (b"[]", "not a record"),
        (GOOD | {"record": "tinytorch/progress/v9"}, "not a record"),
        (GOOD | {"more": 1}, "not a record"),
        (GOOD | {"kind": "unlocked_everything"}, "not a valid Kind"),
        (GOOD | {"at": "2026-03-01T00:00:00"}, "zone"),
        (GOOD | {"at": 5}, "time"),
        (GOOD | {"module": 3}, "without its module"),
        (ATTEMPT, "does not match"),
        (ATTEMPT | {"result": "unlocked"}, "without a verdict"),
        (ATTEMPT | {"result": {"milestone": 1, "verdict": "won"}}, "without a verdict"),
        (ATTEMPT | {"result": {"milestone": 2, "verdict": "unlocked", "criteria": []}}, "does not match"),
        (ATTEMPT | {"result": {"milestone": 1, "verdict": "unlocked", "criteria": [1]}}, "without criteria"),
    ],
)
@pytest.mark.parametrize("thorough", [True, False])
def test_a_damaged_record_is_set_aside_and_the_others_count(
    tmp_path: Path, data: bytes | dict, reason: str, *, thorough: bool
) -> None:
    """Its bytes move to progress/damaged/ under a new name, the reason is reported, and reading continues."""
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    good = save_event(tmp_path, Event(Kind.MODULE_STARTED, START, module="01_setup"))
    (tmp_path / FOLDER / "bad.json").write_bytes(content)
    history = read_history(tmp_path, thorough=thorough)
    assert [e.module for e in history.events] == ["01_setup"]
    assert reason in history.damaged[0].reason
    assert (tmp_path / history.damaged[0].path).read_bytes() == content
    assert history.damaged[0].path.parent == DAMAGED
    assert sorted((tmp_path / FOLDER).glob("*.json")) == [good]
    assert read_history(tmp_path).damaged == ()


def test_damaged_records_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    """Two damaged files of the same name are both kept."""
    (tmp_path / FOLDER).mkdir()
    for content in ("one", "two"):
        (tmp_path / FOLDER / "bad.json").write_text(content)
        read_history(tmp_path)
    assert sorted(p.read_text() for p in (tmp_path / DAMAGED).iterdir()) == ["one", "two"]


def test_a_thorough_reading_checks_the_whole_result(tmp_path: Path) -> None:
    """A result that only looks like one is set aside by the reading that is to show it."""
    save_event(tmp_path, make_attempt(1, "unlocked", 0))
    assert len(read_history(tmp_path, thorough=False).events) == 1
    assert len(read_history(tmp_path).damaged) == 1


def test_links_folders_and_giants_are_no_records(tmp_path: Path) -> None:
    """A symbolic link, a folder and an oversized file are set aside unread."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(GOOD))
    (folder / "link.json").symlink_to(secret)
    (folder / "folder.json").mkdir()
    with (folder / "giant.json").open("wb") as file:
        file.truncate(progress.LARGEST + 1)
    history = read_history(tmp_path)
    assert history.events == ()
    assert len(history.damaged) == 3
    assert secret.exists()


def test_a_record_that_cannot_be_moved_is_still_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that cannot be written the damaged record stays and is reported."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "bad.json").write_text("{")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    assert read_history(tmp_path).damaged[0].path == FOLDER / "bad.json"
    assert (tmp_path / FOLDER / "bad.json").read_text() == "{"


def test_passing_verdicts_are_the_records_own() -> None:
    """The verdicts that count as passed here are those with exit code 0."""
    assert tuple(v.value for v in Verdict if v.exit_code == 0) == progress.PASSING


def test_a_new_student_starts_at_the_beginning() -> None:
    """The first module is ready, the first milestone in progress, the rest locked."""
    modules = journey.list_module_states(COURSE, History())
    assert [m.state for m in modules] == [State.READY, State.LOCKED, State.LOCKED, State.LOCKED]
    assert list_states(History()) == [State.IN_PROGRESS, State.LOCKED, State.LOCKED]
    assert journey.find_next_goal(COURSE, History()).command == "tito module start 01_setup"


def test_the_current_module_is_the_one_begun_last() -> None:
    """Until it is completed; then the first that is not, and none at the end of what is built."""
    begun = tuple(
        Event(Kind.MODULE_STARTED, START + timedelta(hours=hour), module=module)
        for hour, module in enumerate(("03_dense", "02_tensor"))
    )
    for events, current in (
        ((), "01_setup"),
        (begun[:1], "03_dense"),
        (begun, "02_tensor"),
        (begun + make_completed_events("02_tensor"), "03_dense"),
        (begun + make_completed_events("02_tensor", "03_dense"), "01_setup"),
        (make_completed_events("01_setup", "02_tensor", "03_dense"), None),
    ):
        module = journey.find_current_module(COURSE, History(events))
        assert (module and module.id) == current


def test_the_next_goal_follows_what_is_done() -> None:
    """Start, then finish, then the milestone, then the next module, then the end of what is built."""
    started = History((Event(Kind.MODULE_STARTED, START, module="01_setup"),))
    assert journey.find_next_goal(COURSE, started).command == "tito module test 01_setup"
    both = make_completed_events("01_setup", "02_tensor")
    assert journey.find_next_goal(COURSE, History(both)).command == "tito milestone test 1"
    unlocked = (*both, make_attempt(1, "unlocked", 3))
    assert journey.find_next_goal(COURSE, History(unlocked)).command == "tito module start 03_dense"
    everything = History((*unlocked, *make_completed_events("03_dense"), make_attempt(2, "unlocked", 5)))
    assert "planned" in journey.find_next_goal(COURSE, everything).sentence


def test_the_next_goal_is_the_module_that_was_begun_out_of_order() -> None:
    """It agrees with the current module; the modules that were skipped are named, and come back afterwards."""
    ahead = (Event(Kind.MODULE_STARTED, START, module="03_dense"),)
    assert journey.find_next_goal(COURSE, History(ahead)).command == "tito module test 03_dense"
    assert journey.list_skipped_modules(COURSE, History(ahead)) == ["01_setup", "02_tensor"]
    back = (*ahead, Event(Kind.MODULE_STARTED, START + timedelta(hours=1), module="01_setup"))
    assert journey.find_next_goal(COURSE, History(back)).command == "tito module test 01_setup"
    assert journey.list_skipped_modules(COURSE, History(back)) == []
    done = (*ahead, *make_completed_events("03_dense"))
    assert journey.find_next_goal(COURSE, History(done)).command == "tito module start 01_setup"


def test_a_reset_takes_back_the_completion_of_a_module() -> None:
    """Its own record and that of a milestone: it is in progress until it is completed again."""
    reset = Event(Kind.MODULE_RESET, START + timedelta(days=9), module="02_tensor")
    for done in (make_completed_events("01_setup", "02_tensor"), (make_attempt(1, "unlocked", 1),)):
        modules = journey.list_module_states(COURSE, History((*done, reset)))
        assert [m.state for m in modules[:2]] == [State.COMPLETED, State.IN_PROGRESS]
        again = Event(Kind.MODULE_COMPLETED, START + timedelta(days=10), module="02_tensor")
        modules = journey.list_module_states(COURSE, History((*done, reset, again)))
        assert modules[1].state is State.COMPLETED
    assert list_states(History((make_attempt(1, "unlocked", 1), reset)))[0] is State.COMPLETED


def test_an_unlocked_milestone_stays_unlocked() -> None:
    """A later failed attempt takes nothing back, and the date is that of the first success."""
    history = History(
        (make_attempt(1, "not_yet", 1), make_attempt(1, "unlocked", 2), make_attempt(1, "not_yet", 3, met=9))
    )
    state = journey.list_milestone_states(COURSE, history)[0]
    assert (state.state, state.attempts, state.provisional) == (State.COMPLETED, 3, False)
    assert state.unlocked_at == START + timedelta(days=2)
    assert state.best.verdict == "unlocked"


def test_provisional_becomes_unlocked() -> None:
    """A provisional pass completes the milestone and says so until a full one follows."""
    provisional = History((make_attempt(1, "provisional", 1),))
    assert journey.list_milestone_states(COURSE, provisional)[0].provisional
    full = History((*provisional.events, make_attempt(1, "unlocked", 2)))
    assert not journey.list_milestone_states(COURSE, full)[0].provisional


def test_a_milestone_completes_the_modules_it_tested() -> None:
    """Unlocking milestone 1 completes modules 01 and 02, though nobody recorded them, and no others."""
    modules = journey.list_module_states(COURSE, History((make_attempt(1, "unlocked", 1),)))
    assert [m.state for m in modules] == [State.COMPLETED, State.COMPLETED, State.READY, State.LOCKED]


@pytest.mark.parametrize(
    ("tests", "done"),
    [
        ({"status": "passed"}, 2),
        ({"status": "failed", "failures": [{"task": "2.3"}, {"task": "2.4"}]}, 1),
        ({"status": "failed", "failures": [{"task": "2.3"}, {"task": "1.4"}]}, 0),
        ({"status": "failed", "failures": [{"task": "2.3"}, {"task": None}]}, 0),
        ({"status": "failed", "failures": []}, 0),
        ({"status": "not_attempted"}, 0),
    ],
)
def test_an_attempt_completes_the_modules_whose_tests_passed(tests: dict[str, Any], done: int) -> None:
    """Also one that unlocks nothing: what comes before the first failing task is whole."""
    event = make_attempt(1, "not_yet", 1)
    raw = event.raw | {"criteria": [{"name": "module_tests", **tests}]}
    modules = journey.list_module_states(COURSE, History((replace(event, raw=raw),)))
    assert [m.state for m in modules].count(State.COMPLETED) == done


def test_an_attempt_ahead_of_its_turn_is_in_progress() -> None:
    """A milestone that was tried is in progress even if the one before it is locked up."""
    assert list_states(History((make_attempt(2, "not_yet", 1),))) == [
        State.IN_PROGRESS,
        State.IN_PROGRESS,
        State.LOCKED,
    ]


def test_the_best_attempt_met_most() -> None:
    """While nothing is unlocked, the attempt with most criteria met is the best."""
    history = History(
        (make_attempt(1, "not_yet", 1, 2), make_attempt(1, "not_yet", 2, 5), make_attempt(1, "error", 3, 1))
    )
    assert history.find_best_attempt(1).criteria_met == 5
    assert History().find_best_attempt(1) is None
    assert (
        make_attempt_event(
            build_result(build_criterion(), build_loss_criterion("failed", 0.2), verdict=Verdict.NOT_YET)
        ).criteria_met
        == 1
    )
