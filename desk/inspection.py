"""Inspect one student's repository: find what has changed, and collect everything that the gradebook stores."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from desk import git
from desk.extensions import find_student_terms
from desk.git import GitError
from desk.gradebook import PublishedRecord, Visit
from desk.pushes import Push, PushTimeSource, find_last_push
from desk.repository import build_git_address
from desk.roster import RosterRow
from desk.submission_tree import write_commit_tree
from grading import progress
from grading.deadlines import DeadlineTerms
from grading.errors import GraderError
from grading.github import ledger
from grading.lock import is_unchanged_since_release
from grading.manifest.model import BuildStatus, Deadlines, Manifest, Milestone
from grading.submission import MAX_BYTES, copy_submission

NEWEST = 1_000
"""The maximum number of records to read from a branch, most recently published first."""
COMMITS = 30
"""The number of commits on the branch to search for the last publication, which is usually the newest commit."""


@dataclass(frozen=True)
class InspectionContext:
    """Everything that an inspection depends on, apart from the repository itself."""

    folder: Path
    """The class's folder, which contains the fetched repositories."""
    base: Path
    """The folder that paths in the roster start from."""
    manifest: Manifest
    given: Mapping[str, str]
    """The digests of students' files as released, for `lock.is_unchanged_since_release`."""
    times: PushTimeSource

    def get_repository_path(self, student: str) -> Path:
        """Return the folder of a student's fetched repository."""
        return self.folder / "repositories" / f"{student}.git"

    @property
    def deadlines(self) -> Deadlines | None:
        """The manifest's deadlines."""
        return self.manifest.deadlines

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """The milestones that can be graded."""
        return tuple(m for m in self.manifest.milestones if m.status is BuildStatus.BUILT)


@dataclass(frozen=True)
class KnownState:
    """What the gradebook already knows about a student."""

    visit: Visit | None = None
    pushes: tuple[Push, ...] = ()
    commits: frozenset[str] = frozenset()
    """The commits whose submissions under this version of the course are recorded."""


@dataclass(frozen=True)
class Inspection:
    """The findings of an inspection, before they are saved."""

    visit: Visit
    pushes: tuple[Push, ...] = ()
    """New pushes."""
    handed_in: Mapping[str, Mapping[int, str | None]] = field(default_factory=dict)
    """The digest of each submission, by commit and milestone; None if the milestone is not begun."""
    records: tuple[PublishedRecord, ...] | None = None
    """The records on the `progress` branch; None if the branch has not changed."""


def inspect_repository(
    row: RosterRow, known_state: KnownState, context: InspectionContext, now: datetime
) -> Inspection:
    """Contact the server, fetch new commits, and read them. Any error becomes the visit's `problem`."""
    if row.repository is None:
        return Inspection(Visit(row.id, now, problem="the roster lists no repository"))
    try:
        return _inspect_or_raise(row, row.repository, known_state, context, now)
    except (GitError, GraderError, OSError) as error:
        before = known_state.visit or Visit(row.id, now)
        return Inspection(Visit(row.id, now, before.branch, before.commit, before.records, problem=str(error)))


def choose_commits_to_grade(
    row: RosterRow, pushes: tuple[Push, ...], head: str, context: InspectionContext
) -> dict[str, set[int]]:
    """Map commits to grade to their milestones: the newest, and each milestone's last on time and last that scores."""
    found = {head: {m.id for m in context.milestones}}
    for milestone in context.milestones:
        terms = find_student_terms(context.deadlines, milestone.id, row)
        for moment in _list_cutoff_times(terms):
            push = find_last_push(pushes, moment)
            if push is not None:
                found.setdefault(push.commit, set()).add(milestone.id)
    return found


def _list_cutoff_times(terms: DeadlineTerms | None) -> tuple[datetime, ...]:
    """List the times after which a push is late and after which it earns nothing; none if there is no deadline."""
    return () if terms is None else tuple(dict.fromkeys((terms.grace_end, terms.last_scoring_moment)))


def _inspect_or_raise(
    row: RosterRow, name: str, known_state: KnownState, context: InspectionContext, now: datetime
) -> Inspection:
    """Fetch new pushes, commits and records. Note failures for records and earlier commits, and raise any other."""
    address = _build_git_address(name, context.base)
    heads = git.list_remote_heads(address)
    if heads.commit is None or heads.branch is None:
        return Inspection(Visit(row.id, now, heads.branch, problem="the repository is empty"))
    pushes = _find_new_pushes(address, heads.branch, heads.commit, known_state, context, now)
    wanted = choose_commits_to_grade(row, known_state.pushes + pushes, heads.commit, context)
    missing = [commit for commit in wanted if commit not in known_state.commits]
    repository, problems = context.get_repository_path(row.id), []
    if missing:
        git.init_bare_repository(repository)
        git.fetch_commits(repository, address, [heads.commit], largest=MAX_BYTES)
        for commit in missing:
            try:
                git.fetch_commits(repository, address, [commit], largest=MAX_BYTES)
            except GitError as error:
                problems.append(f"the last commit before a deadline, {commit[:12]}, cannot be fetched ({error})")
    handed_in = {
        c: _compute_submission_digests(repository, c, context) for c in missing if git.has_commit(repository, c)
    }
    records, seen = None, known_state.visit.records if known_state.visit else None
    if heads.records is not None and seen != heads.records:
        try:
            git.init_bare_repository(repository)
            git.fetch_commits(repository, address, [heads.records], largest=progress.LARGEST, depth=COMMITS)
            records, seen = _read_published_records(repository, heads.records, row.id), heads.records
        except GitError as error:
            problems.append(f"its records cannot be read ({error})")
    problem = "; ".join(problems) or None
    return Inspection(Visit(row.id, now, heads.branch, heads.commit, seen, problem), pushes, handed_in, records)


def _build_git_address(name: str, base: Path) -> str:
    """Build the address for git. A path becomes a URL, since git ignores filters when it clones from a path."""
    return (
        f"file://{quote(str((base / name).resolve()))}"
        if name.startswith(("/", "./", "../"))
        else build_git_address(name)
    )


def _find_new_pushes(
    address: str, branch: str, head: str, known_state: KnownState, context: InspectionContext, now: datetime
) -> tuple[Push, ...]:
    """Find pushes that the gradebook lacks. If no source has the head's push, add one of kind "seen" at `now`."""
    of_branch = [push for push in known_state.pushes if push.branch == branch]
    told = [push for push in of_branch if push.source != "seen"]
    if any(push.commit == head for push in told):
        return ()
    since = max((push.at for push in told), default=None)
    new = tuple(push for push in context.times.list_pushes(address, branch, since))
    if any(push.commit == head for push in new) or any(push.commit == head for push in of_branch):
        return new
    return (*new, Push(branch, head, now, "seen"))


def _compute_submission_digests(repository: Path, commit: str, context: InspectionContext) -> dict[int, str | None]:
    """Map each milestone to the digest of this commit's submission for it, or to None if it is not begun."""
    found: dict[int, str | None] = {}
    with tempfile.TemporaryDirectory(prefix="tinytorch-handed-in-") as tree:
        write_commit_tree(repository, commit, context.manifest, Path(tree))
        for milestone in context.milestones:
            with tempfile.TemporaryDirectory(prefix="tinytorch-copy-") as copy:
                modules = context.manifest.list_modules_up_to(milestone)
                handed_in = copy_submission(Path(tree), context.manifest, modules, milestone, Path(copy))
                recipe = milestone.recipe.as_posix()
                begun = recipe not in handed_in.missing and not is_unchanged_since_release(
                    handed_in.folder, recipe, context.given
                )
            found[milestone.id] = handed_in.record.digest if begun else None
    return found


def _read_published_records(repository: Path, commit: str, student: str) -> tuple[PublishedRecord, ...]:
    """Read the newest records on the `progress` branch, each with any reason why its ledger does not verify it."""
    head = next(
        filter(None, map(ledger.parse_ledger_trailer, git.list_commit_messages(repository, commit, COMMITS))), None
    )
    folder = f"{progress.FOLDER.as_posix()}/"
    listed = [
        e
        for e in git.list_tree_entries(repository, commit, [folder])
        if e.kind == "blob" and e.mode in ("100644", "100755")
    ]
    by_path = {entry.path: entry.digest for entry in listed}
    try:
        read = git.read_files(repository, [by_path[ledger.LEDGER_FILE]], largest=ledger.MAX_LEDGER_BYTES)
        lines = ledger.split_ledger_lines(read[by_path[ledger.LEDGER_FILE]] or b"")
    except (LookupError, ValueError):
        lines = []
    paths = [path for path in by_path if path.endswith(".json")]
    files: dict[str, bytes | None] = dict.fromkeys(paths)
    published = dict.fromkeys(path for path in _list_ledger_files(lines) if path in files)
    newest = [*published, *sorted(set(paths) - set(published), reverse=True)][:NEWEST]
    read = git.read_files(repository, [by_path[path] for path in newest], largest=progress.LARGEST)
    files |= {path: read[by_path[path]] for path in newest}
    verified = ledger.verify_ledger_records(lines, files, head=head)
    return tuple(
        PublishedRecord(
            student, e.file, e.event.at, e.run_id, json.dumps(json.loads(progress.encode_event_file(e.event))), e.reason
        )
        for e in verified
        if e.event is not None
    )


def _list_ledger_files(lines: list[bytes]) -> list[str]:
    """List the files that the ledger's lines mention, newest line first."""
    found = []
    for line in reversed(lines):
        try:
            found.append(ledger.parse_ledger_line(line).file)
        except ValueError:
            continue
    return found
