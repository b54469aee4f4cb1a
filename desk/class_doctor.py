"""`inv doctor`: check everything that a class needs on this machine and on GitHub, and explain how to fix problems."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from desk import git
from desk.collect import FREE_BYTES
from desk.extensions import find_idle_extensions
from desk.gradebook import FILE as BOOK
from desk.gradebook import open_gradebook
from desk.repository import parse_github_name
from desk.roster import FILE as ROSTER
from desk.roster import check_roster
from grading.data.files import locate_data_set
from grading.data.load import find_data_source
from grading.errors import GraderError, UsageError
from grading.manifest.loader import ManifestError, load_manifest, load_manifest_strictly
from grading.manifest.model import BuildStatus
from tito.doctor import (
    Finding,
    check_manifest,
    check_packages,
    check_python,
    check_sandbox,
    check_worker_start,
    run_checks,
)

OLDEST_GIT = (2, 36)
ASKED = 5
"""The number of the roster's repositories to check.

The first few are enough to reveal a wrong setting of the organisation.
"""


@dataclass(frozen=True)
class DeskContext:
    """The repository and the class to check."""

    root: Path
    folder: Path
    environ: Mapping[str, str]

    def list_repositories(self) -> list[str]:
        """List the names of the roster's repositories on GitHub; none if the roster cannot be read."""
        try:
            rows = check_roster(self.folder / ROSTER).rows
        except UsageError:
            return []
        return [name for row in rows if row.repository and (name := parse_github_name(row.repository))]


def run_class_checks(desk: DeskContext) -> Iterator[Finding]:
    """Run every check in order: this machine, the class's folder and, if there is a token, GitHub."""
    here: tuple[Callable[[Path], Finding], ...] = (check_python, check_packages, check_manifest)
    yield from run_checks(here, desk.root)
    yield from run_checks(
        (
            check_sandbox_for_official_grading,
            check_worker,
            check_git,
            check_data_sets,
            check_disk_space,
            check_roster_file,
            check_deadlines,
            check_gradebook,
            check_github_token,
        ),
        desk,
    )
    if desk.environ.get("GITHUB_TOKEN"):
        yield from run_checks((check_grader_repository, check_organisation, check_repositories), desk)


def check_sandbox_for_official_grading(desk: DeskContext) -> Finding:
    """Check that this machine has the sandbox that official grading needs."""
    found = check_sandbox(desk.root)
    fix = "Official grading needs Linux with bubblewrap (sudo apt-get install bubblewrap) or Landlock (Linux 5.13)"
    return found if found.ok else Finding("sandbox", False, found.found, fix)


def check_worker(desk: DeskContext) -> Finding:
    """Check that the process that runs student code starts and responds."""
    return check_worker_start(desk.root)


def check_git(_desk: DeskContext) -> Finding:
    """Check that git is new enough; raise GraderError if it is not installed."""
    version = git.read_git_version()
    shown = "git " + ".".join(map(str, version))
    ok = version >= OLDEST_GIT
    return Finding("git", ok, shown, None if ok else f"Install git {'.'.join(map(str, OLDEST_GIT))} or later.")


def check_data_sets(desk: DeskContext) -> Finding:
    """Check that this machine has the real data sets; without them, verdicts are provisional."""
    needed = {m.data for m in load_manifest(desk.root).milestones if m.status is BuildStatus.BUILT and m.data}
    missing = sorted(name for name in needed if locate_data_set(find_data_source(name)).missing)
    if not missing:
        return Finding("data sets", True, ", ".join(sorted(needed)) or "none needed")
    found = (
        f"missing: {', '.join(missing)}. They are downloaded when first needed; without them, verdicts are provisional"
    )
    return Finding("data sets", None, found, " and ".join(f"tito data fetch {name}" for name in missing))


def check_disk_space(desk: DeskContext) -> Finding:
    """Check that the disk has room for repositories and results."""
    place = desk.folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    shown = f"{free / (1 << 30):.0f} GB free at {place}"
    return Finding("disk", free > FREE_BYTES, shown, None if free > FREE_BYTES else "Free at least 1 GB.")


def check_roster_file(desk: DeskContext) -> Finding:
    """Check that the class has a roster and that the roster has no problems."""
    path = desk.folder / ROSTER
    if not path.exists():
        repair = f"Create it; docs/for-instructors.md lists its columns. Then run: inv roster --folder {desk.folder}"
        return Finding("roster", False, f"there is no {path}", repair)
    found = check_roster(path)
    if found.problems:
        shown = f"{len(found.problems)} problems, the first of which is: {found.problems[0]}"
        return Finding("roster", False, shown, f"inv roster --folder {desk.folder}")
    without = sum(row.repository is None for row in found.rows)
    return Finding(
        "roster", True, f"{len(found.rows)} students" + (f", {without} without a repository" * bool(without))
    )


def check_deadlines(desk: DeskContext) -> Finding:
    """Check that the deadlines have a known time zone, and that each extension applies to at least one student."""
    try:
        found = load_manifest_strictly(desk.root).deadlines
    except ManifestError as error:
        return Finding(
            "deadlines", False, str(error), "Edit milestones.yaml. Students can keep working in the meantime."
        )
    path = desk.folder / ROSTER
    idle = list(find_idle_extensions(found, check_roster(path).rows if path.exists() else ()))
    if idle and path.exists():
        more = f" (and {len(idle) - 1} more: inv roster --folder {desk.folder})" if idle[1:] else ""
        return Finding("deadlines", None, idle[0] + more, "Correct the name in milestones.yaml or in the roster.")
    shown = "none" if found is None else f"{len(found.due)} milestones, {found.timezone}"
    return Finding("deadlines", True, shown)


def check_gradebook(desk: DeskContext) -> Finding:
    """Check that the gradebook, if there is one, can be read."""
    path = desk.folder / BOOK
    if not path.exists():
        return Finding("gradebook", None, f"none yet; inv collect --folder {desk.folder} creates it")
    try:
        with open_gradebook(path) as book:
            return Finding(
                "gradebook", True, f"{len(book.list_gradings())} results of {len(book.list_students())} students"
            )
    except (UsageError, GraderError) as error:
        return Finding("gradebook", False, str(error), "Restore it from a backup.")


def check_github_token(desk: DeskContext) -> Finding:
    """Check that there is a token if the class is on GitHub; the push times and the checks below need it."""
    if desk.environ.get("GITHUB_TOKEN"):
        return Finding("token", True, "GITHUB_TOKEN is set")
    if not desk.list_repositories():
        return Finding("token", True, "no repository is on GitHub, so no token is needed")
    due = load_manifest(desk.root).deadlines is not None
    found = "GITHUB_TOKEN is not set" + (", so deadlines cannot use push times" if due else "")
    return Finding("token", False if due else None, found, "export GITHUB_TOKEN=$(gh auth token)")


def check_grader_repository(desk: DeskContext) -> Finding:
    """Check that the release's repository is public and has grade.yml, which students' workflows call."""
    at = load_manifest(desk.root).course.grader
    if at is None:
        found = "milestones.yaml has no course.grader, so releases have no workflows and GitHub grades nothing"
        repair = "Add `grader:` with `repository: owner/name` and `ref: main` under `course:`, and release again."
        return Finding("grader", None, found, repair)
    answer = _request_github(desk, f"/repos/{at.repository}")
    if answer is None:
        repair = f"Release the course, and push it to {at.repository}: inv release --to DIR"
        return Finding("grader", False, f"there is no repository {at.repository}", repair)
    if answer.get("private"):
        repair = f"https://github.com/{at.repository}/settings: change its visibility to public."
        return Finding("grader", False, f"{at.repository} is private, so students' workflows cannot call it", repair)
    if _request_github(desk, f"/repos/{at.repository}/contents/.github/workflows/grade.yml?ref={at.ref}") is None:
        return Finding(
            "grader",
            False,
            f"{at.repository} has no grade.yml at {at.ref}",
            "Push the release there: inv release --to DIR",
        )
    return Finding("grader", True, f"{at.repository} at {at.ref}")


def check_organisation(desk: DeskContext) -> Finding:
    """Check that no owner of a repository in the roster is known to block Actions or the course's workflow."""
    owners = sorted({name.partition("/")[0] for name in desk.list_repositories()})
    if not owners:
        return Finding("organisation", None, "the roster lists no repository on GitHub")
    for owner in owners:
        answer = _request_github(desk, f"/orgs/{owner}/actions/permissions")
        if answer is not None and answer.get("enabled_repositories") == "none":
            repair = f"https://github.com/organizations/{owner}/settings/actions: allow Actions for all repositories."
            return Finding("organisation", False, f"{owner} does not let any repository run Actions", repair)
        if answer is not None and answer.get("allowed_actions") == "local_only":
            settings = f"https://github.com/organizations/{owner}/settings/actions"
            repair = f"{settings}: also allow GitHub's actions and the course's."
            return Finding(
                "organisation", False, f"{owner} does not let repositories call the course's workflow", repair
            )
    return Finding("organisation", True, ", ".join(owners))


def check_repositories(desk: DeskContext) -> Finding:
    """Check that the roster's first repositories can be read and have Actions enabled."""
    names = desk.list_repositories()[:ASKED]
    for name in names:
        if _request_github(desk, f"/repos/{name}") is None:
            repair = "Check its name in the roster, and check that your account has access: gh auth status"
            return Finding("repositories", False, f"{name} cannot be read with this token", repair)
        answer = _request_github(desk, f"/repos/{name}/actions/permissions")
        if answer is not None and answer.get("enabled") is False:
            repair = f"https://github.com/{name}/settings/actions: allow Actions."
            return Finding("repositories", False, f"Actions are disabled in {name}", repair)
    return (
        Finding("repositories", True, f"{len(names)} checked, all readable")
        if names
        else Finding("repositories", None, "the roster lists no repository on GitHub")
    )


def _request_github(desk: DeskContext, path: str) -> dict[str, object] | None:
    """Return GitHub's JSON answer for an API path, or None if this token finds nothing there.

    Raise GraderError if GitHub cannot be queried.
    """
    from githubkit.exception import RequestFailed

    from grading.github.api import create_client, translate_errors

    with translate_errors(re.sub(r"^/(repos|orgs)/", "", path)):
        try:
            return dict(create_client(desk.environ).request("GET", path).json())
        except RequestFailed as error:
            if error.response.status_code in (403, 404):
                return None
            raise
