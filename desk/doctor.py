"""`inv doctor`: what a class needs, on this machine and on GitHub, and how to fix what is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from desk import git
from desk.collect import FREE_BYTES
from desk.deadlines import find_idle_extensions
from desk.gradebook import FILE as BOOK
from desk.gradebook import open_gradebook
from desk.repository import full_name
from desk.roster import FILE as ROSTER
from desk.roster import check_roster
from grading.data.files import find
from grading.data.load import source_named
from grading.errors import GraderError, UsageError
from grading.manifest.load import ManifestError, load, load_at_desk
from grading.manifest.model import Status
from tito.doctor import Finding, each, manifest, packages, python, sandbox, worker

OLDEST_GIT = (2, 36)
ASKED = 5
"""Repositories of the roster that are asked about: what is wrong in an organisation is wrong with the first."""


@dataclass(frozen=True)
class Desk:
    """What is examined."""

    root: Path
    folder: Path
    environ: Mapping[str, str]

    def repositories(self) -> list[str]:
        """The names of the roster's repositories on GitHub."""
        try:
            rows = check_roster(self.folder / ROSTER).rows
        except UsageError:
            return []
        return [name for row in rows if row.repository and (name := full_name(row.repository))]


def examine(desk: Desk) -> Iterator[Finding]:
    """Every check in order: this machine, the class's folder, GitHub."""
    here: tuple[Callable[[Path], Finding], ...] = (python, packages, manifest)
    yield from each(here, desk.root)
    yield from each((official, started_worker, git_version, data_sets, disk, roster, deadlines, gradebook, token), desk)
    if desk.environ.get("GITHUB_TOKEN"):
        yield from each((grader, organisation, repositories), desk)


def official(desk: Desk) -> Finding:
    """The sandbox that official grading needs."""
    found = sandbox(desk.root)
    fix = "Official grading needs Linux with bubblewrap (sudo apt-get install bubblewrap) or Landlock (Linux 5.13)"
    return found if found.ok else Finding("sandbox", False, found.found, fix)


def started_worker(desk: Desk) -> Finding:
    """The process that runs student code starts and answers."""
    return worker(desk.root)


def git_version(_desk: Desk) -> Finding:
    """Git is there and knows what is asked of it."""
    version = git.version()
    shown = "git " + ".".join(map(str, version))
    ok = version >= OLDEST_GIT
    return Finding("git", ok, shown, None if ok else f"Install git {'.'.join(map(str, OLDEST_GIT))} or later.")


def data_sets(desk: Desk) -> Finding:
    """The real data sets, without which verdicts are provisional."""
    needed = {m.data for m in load(desk.root).milestones if m.status is Status.BUILT and m.data}
    missing = sorted(name for name in needed if find(source_named(name)).missing)
    if not missing:
        return Finding("data sets", True, ", ".join(sorted(needed)) or "none needed")
    found = f"not here: {', '.join(missing)}. They are downloaded when first needed; else verdicts are provisional"
    return Finding("data sets", None, found, " and ".join(f"tito data fetch {name}" for name in missing))


def disk(desk: Desk) -> Finding:
    """Room for repositories and results."""
    place = desk.folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    shown = f"{free / (1 << 30):.0f} GB free at {place}"
    return Finding("disk", free > FREE_BYTES, shown, None if free > FREE_BYTES else "Make room for at least 1 GB.")


def roster(desk: Desk) -> Finding:
    """A roster without problems."""
    path = desk.folder / ROSTER
    if not path.exists():
        mend = f"Write it; its columns stand in docs/for-instructors.md. Then: inv roster --folder {desk.folder}"
        return Finding("roster", False, f"there is no {path}", mend)
    found = check_roster(path)
    if found.problems:
        shown = f"{len(found.problems)} problems, the first: {found.problems[0]}"
        return Finding("roster", False, shown, f"inv roster --folder {desk.folder}")
    without = sum(row.repository is None for row in found.rows)
    return Finding(
        "roster", True, f"{len(found.rows)} students" + (f", {without} without a repository" * bool(without))
    )


def deadlines(desk: Desk) -> Finding:
    """Deadlines in a known time zone, and extensions that somebody has."""
    try:
        found = load_at_desk(desk.root).deadlines
    except ManifestError as error:
        return Finding("deadlines", False, str(error), "Change milestones.yaml; students are not stopped by it.")
    path = desk.folder / ROSTER
    idle = list(find_idle_extensions(found, check_roster(path).rows if path.exists() else ()))
    if idle and path.exists():
        more = f" (and {len(idle) - 1} more: inv roster --folder {desk.folder})" if idle[1:] else ""
        return Finding("deadlines", None, idle[0] + more, "Correct the name in milestones.yaml or in the roster.")
    shown = "none" if found is None else f"{len(found.due)} milestones, {found.timezone}"
    return Finding("deadlines", True, shown)


def gradebook(desk: Desk) -> Finding:
    """A gradebook that can be read, where there is one."""
    path = desk.folder / BOOK
    if not path.exists():
        return Finding("gradebook", None, f"none yet; inv collect --folder {desk.folder} makes it")
    try:
        with open_gradebook(path) as book:
            return Finding("gradebook", True, f"{len(book.gradings())} results of {len(book.students())} students")
    except (UsageError, GraderError) as error:
        return Finding("gradebook", False, str(error), "Bring it back from a backup.")


def token(desk: Desk) -> Finding:
    """A token, where the class is on GitHub: for push times, and for what follows here."""
    if desk.environ.get("GITHUB_TOKEN"):
        return Finding("token", True, "GITHUB_TOKEN is set")
    if not desk.repositories():
        return Finding("token", True, "no repository is on GitHub: none is needed")
    due = load(desk.root).deadlines is not None
    found = "GITHUB_TOKEN is not set" + (": deadlines cannot be applied on the times of pushes" if due else "")
    return Finding("token", False if due else None, found, "export GITHUB_TOKEN=$(gh auth token)")


def grader(desk: Desk) -> Finding:
    """The public repository of the release, which students' workflows call."""
    at = load(desk.root).course.grader
    if at is None:
        found = "milestones.yaml names no course.grader: releases have no workflows, and grading is at desks only"
        mend = "Add `grader:` with `repository: owner/name` and `ref: main` below `course:`, and release again."
        return Finding("grader", None, found, mend)
    answer = _ask(desk, f"/repos/{at.repository}")
    if answer is None:
        mend = f"Release the course, and push it to {at.repository}: inv release --to DIR"
        return Finding("grader", False, f"there is no repository {at.repository}", mend)
    if answer.get("private"):
        mend = f"https://github.com/{at.repository}/settings: change its visibility to public."
        return Finding("grader", False, f"{at.repository} is private: students' workflows cannot call it", mend)
    if _ask(desk, f"/repos/{at.repository}/contents/.github/workflows/grade.yml?ref={at.ref}") is None:
        return Finding(
            "grader",
            False,
            f"{at.repository} has no grade.yml at {at.ref}",
            "Push the release there: inv release --to DIR",
        )
    return Finding("grader", True, f"{at.repository} at {at.ref}")


def organisation(desk: Desk) -> Finding:
    """Actions are allowed where the roster's repositories are."""
    owners = sorted({name.partition("/")[0] for name in desk.repositories()})
    if not owners:
        return Finding("organisation", None, "the roster names no repository on GitHub")
    for owner in owners:
        answer = _ask(desk, f"/orgs/{owner}/actions/permissions")
        if answer is not None and answer.get("enabled_repositories") == "none":
            mend = f"https://github.com/organizations/{owner}/settings/actions: allow Actions for all repositories."
            return Finding("organisation", False, f"{owner} lets no repository run Actions", mend)
        if answer is not None and answer.get("allowed_actions") == "local_only":
            mend = (
                f"https://github.com/organizations/{owner}/settings/actions: also allow the course's and GitHub's own."
            )
            return Finding("organisation", False, f"{owner} lets repositories call no workflow of the course", mend)
    return Finding("organisation", True, ", ".join(owners))


def repositories(desk: Desk) -> Finding:
    """The first of the roster's repositories can be read, and their runs may write records."""
    names = desk.repositories()[:ASKED]
    for name in names:
        if _ask(desk, f"/repos/{name}") is None:
            mend = "Look at its name in the roster, and whether your account may read it: gh auth status"
            return Finding("repositories", False, f"{name} cannot be read with this token", mend)
        answer = _ask(desk, f"/repos/{name}/actions/permissions")
        if answer is not None and answer.get("enabled") is False:
            mend = f"https://github.com/{name}/settings/actions: allow Actions."
            return Finding("repositories", False, f"Actions are off in {name}", mend)
    return (
        Finding("repositories", True, f"{len(names)} looked at, all readable")
        if names
        else Finding("repositories", None, "the roster names none on GitHub")
    )


def _ask(desk: Desk, path: str) -> dict[str, object] | None:
    """What GitHub answers; None when it is not there, or not for this token. GraderError when it cannot be asked."""
    from githubkit.exception import RequestFailed

    from grading.github.api import client, translate_errors

    with translate_errors(re.sub(r"^/(repos|orgs)/", "", path)):
        try:
            return dict(client(desk.environ).request("GET", path).json())
        except RequestFailed as error:
            if error.response.status_code in (403, 404):
                return None
            raise
