"""Publish results as records on the `progress` branch, as lines of its ledger, and as badges."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grading import progress
from grading.errors import GraderError
from grading.github import ledger
from grading.github.branch import (
    BranchFile,
    fetch_repository_id,
    parse_repository_name,
    read_branch,
    try_to_commit_files,
)
from grading.github.branch_records import BRANCH, BranchRecords
from grading.github.history import fetch_records_at
from grading.github.ledger import LedgerHead, LedgerLine
from grading.manifest.model import Manifest, Milestone
from grading.progress import Event, History
from grading.render.badge import render_badge, render_not_yet_unlocked_badge, render_shields_badge
from grading.render.text import to_one_line
from grading.result import Result, Verdict

if TYPE_CHECKING:
    from githubkit import GitHub

MAX_ATTEMPTS = 30
"""The number of times that another run may come first before this run gives up. Each time, at least one run
succeeds.
"""


@dataclass(frozen=True)
class Publication:
    """The outcome of publishing results."""

    added: tuple[str, ...]
    """The new records' files on the branch. There are none if all were already published."""
    head: LedgerHead
    """The ledger's new end."""
    commit: str | None
    """The commit that added the records, if there is one."""
    tries: int


@dataclass(frozen=True)
class _NewRecord:
    event: Event
    file: str
    data: bytes


def publish_results(
    client: GitHub,
    repository: str,
    results: Sequence[Result],
    run_id: int,
    manifest: Manifest,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Publication:
    """Commit a run's new results, with milestone badges, to the `progress` branch of the repository (owner/name).

    The branch only ever moves forward. If another run comes first, everything is read again and the commit is retried.
    A result with the same run, session and start is never added twice. Raise GraderError if a result does not belong to
    this course or if other runs come first too often.
    """
    place = parse_repository_name(client, repository)
    records = [_build_ledger_record(result, run_id, manifest) for result in results]
    number = fetch_repository_id(place)
    known: dict[str, bytes] = {}
    for tries in range(1, MAX_ATTEMPTS + 1):
        branch = read_branch(place, BRANCH)
        if (
            branch is not None
            and branch.files.get(ledger.LEDGER_FILE, BranchFile("", 0)).size > ledger.MAX_LEDGER_BYTES
        ):
            raise GraderError(
                f"{ledger.LEDGER_FILE} is too large to have been written by runs, and will not be replaced. Restore "
                f"it from its history."
            )
        before = BranchRecords() if branch is None else fetch_records_at(place, branch, number, known)
        head = before.head or LedgerHead()
        named, there = ledger.list_files_in_ledger(before.lines), set() if branch is None else set(branch.files)
        new = [r for r in records if r.file not in named]
        restored = {r.file: r.data for r in records if r.file in named and r.file not in there}
        if not new and not restored:
            return Publication((), head, None, tries)
        added = [
            LedgerLine(0, r.file, ledger.compute_sha256(r.data), "", number, run_id, r.event.at)
            for r in sorted(new, key=lambda r: (r.event.at, r.file))
        ]
        text, head = ledger.append_ledger_lines(b"".join(line + b"\n" for line in before.lines), head, added)
        files = restored | {r.file: r.data for r in new} | {ledger.LEDGER_FILE: text}
        files |= _draw_milestone_badges(manifest, before.history, records, there)
        commit = try_to_commit_files(
            place, BRANCH, branch, files, _format_publishing_commit_message(records, run_id, head)
        )
        if commit is not None:
            return Publication(tuple(line.file for line in added), head, commit, tries)
        sleep(random.uniform(0, min(0.1 * 2**tries, 4)))  # noqa: S311 - not secret, but keeps runs from colliding again
    raise GraderError(
        f"Other runs have changed the branch {BRANCH} {MAX_ATTEMPTS} times while this one was publishing. "
        "Run this job again."
    )


def _build_ledger_record(result: Result, run_id: int, manifest: Manifest) -> _NewRecord:
    """Build the record of one result. Raise GraderError if the course has no such module or milestone."""
    known = {m.id for m in manifest.milestones} if result.module is None else {m.id for m in manifest.modules}
    if (result.milestone if result.module is None else result.module) not in known:
        what = f"milestone {result.milestone}" if result.module is None else f"module {to_one_line(result.module, 40)}"
        raise GraderError(f"A result belongs to {what}, which the course does not have. Nothing was published.")
    event = progress.make_run_event(result)
    name = progress.name_event_file(event, f"{run_id}-{ledger.name_event_session(event)}")
    return _NewRecord(event, f"{progress.FOLDER.as_posix()}/{name}", progress.encode_event_file(event))


def _draw_milestone_badges(
    manifest: Manifest, before: History, records: Sequence[_NewRecord], existing_files: Collection[str]
) -> dict[str, bytes]:
    """Draw the badges (SVG and JSON) of the measured milestones and any missing badges, keyed by path."""
    events = {
        ledger.compute_sha256(progress.encode_event_file(e)): e for e in (*before.events, *(r.event for r in records))
    }
    history = History(tuple(sorted(events.values(), key=lambda e: e.at)))
    measured = {r.event.milestone for r in records}
    files = {}
    for milestone in manifest.milestones:
        svg, endpoint = (f"badges/milestone-{milestone.id}.{suffix}" for suffix in ("svg", "json"))
        if milestone.id in measured or not {svg, endpoint} <= set(existing_files):
            best = history.find_best_attempt(milestone.id)
            result = None if best is None else best.result
            files[svg] = _draw_milestone_badge(manifest, milestone, result).encode()
            files[endpoint] = render_shields_badge(milestone.id, milestone.name, result).encode()
    return files


def _draw_milestone_badge(manifest: Manifest, milestone: Milestone, best: Result | None) -> str:
    """Draw a milestone's badge as SVG: the best result if that is a pass, otherwise "Not yet unlocked"."""
    if best is not None and best.verdict in (Verdict.UNLOCKED, Verdict.PROVISIONAL):
        return render_badge(best)
    return render_not_yet_unlocked_badge(manifest.course.name, milestone.id, milestone.name, best)


def _format_publishing_commit_message(records: Sequence[_NewRecord], run_id: int, head: LedgerHead) -> str:
    """Write the commit message, which ends with the ledger's head."""
    what = ", ".join(f"{ledger.name_event_session(r.event)} {r.event.verdict}" for r in records)
    return f"Record {what}\n\nRun {run_id}. Runs add files here; nobody edits them.\n\n{head.trailer}\n"
