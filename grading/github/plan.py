"""Plan which modules and milestones of a commit have to be graded, and which can reuse an earlier record."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from grading import lock
from grading.grade import MODULE_BUDGET, build_course_record
from grading.limits import compute_wall_limit
from grading.manifest.model import Budget, BuildStatus, Manifest, Milestone, Module
from grading.result import Result, Verdict
from grading.submission import copy_submission

OVERHEAD_MINUTES = 10
"""The time allowed for everything except the student's own code: packages, data sets, and calibration of the
machine.
"""

MAX_PLAN_BYTES = 100_000
"""The maximum size of a plan, in bytes. The longest plan for a course of this size needs a tenth of it."""


@dataclass(frozen=True)
class GradingJob:
    """A module or milestone to grade, with `nox -s SESSION`."""

    session: str
    """The nox session, such as module-02_tensor or milestone-1."""
    title: str
    minutes: int
    """The time limit in minutes. If a job takes longer, something is wrong with the machine."""


@dataclass(frozen=True)
class ReusedResult:
    """A module or milestone that has not changed since it was last graded."""

    session: str
    title: str
    verdict: str
    started_at: datetime
    """The time at which it was graded."""


@dataclass(frozen=True)
class GradingPlan:
    """The plan for every built module and milestone."""

    jobs: tuple[GradingJob, ...]
    reused: tuple[ReusedResult, ...]
    skipped: tuple[str, ...]
    """The sessions that still match the release, because nobody has worked on them."""

    def to_json(self) -> str:
        """Encode the plan as one line of JSON that `decode_plan` can decode."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    def to_matrix_json(self) -> str:
        """Encode the jobs as a job matrix for GitHub, as one line of JSON."""
        return json.dumps({"include": [asdict(job) for job in self.jobs]})


def decode_plan(data: bytes, manifest: Manifest) -> GradingPlan:
    """Decode a plan that anyone may have written. Raise ValueError with a sentence if it is not for this course.

    Titles and minutes come from the manifest.
    """
    known = {candidate.session: candidate for candidate in _list_gradable_sessions(manifest)}
    try:
        if len(data) > MAX_PLAN_BYTES:
            raise ValueError
        said = json.loads(data.decode("utf-8"))
        jobs = tuple(_build_grading_job(known[one["session"]]) for one in said["jobs"])
        reused = tuple(
            ReusedResult(
                one["session"],
                known[one["session"]].title,
                Verdict(one["verdict"]).value,
                datetime.fromisoformat(one["started_at"]).astimezone(UTC),
            )
            for one in said["reused"]
        )
        skipped = tuple(known[session].session for session in said["skipped"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        raise ValueError("this is not a plan of what to grade in this course") from None
    sessions = [*(job.session for job in jobs), *(record.session for record in reused), *skipped]
    if len(sessions) != len(set(sessions)):
        raise ValueError("this plan names a session twice")
    return GradingPlan(jobs, reused, skipped)


@dataclass(frozen=True)
class _Candidate:
    """A module or milestone that may have to be graded."""

    session: str
    title: str
    budget: Budget
    modules: tuple[Module, ...]
    """The modules that its submission contains."""
    milestone: Milestone | None
    mark: Path
    """The file that shows whether the student has worked on it."""


def plan_gradings_of_changes(
    course_root: Path,
    student_tree: Path,
    history: Iterable[Result],
    manifest: Manifest,
    *,
    given: Mapping[str, str] | None = None,
    again: bool = False,
) -> GradingPlan:
    """Plan what to grade in ``student_tree``. Reuse earlier results, and skip what still matches the release.

    A module counts as worked on if its file differs from the release at ``course_root``. A milestone counts as worked
    on if its trigger's recipe differs. A record in ``history`` for the same files and the same version of the course is
    reused, unless ``again`` is set. A record of an error, or of figures measured on a stand-in, is never reused.
    ``given`` maps students' files to their released digests, which come from the release's lock by default. Raise
    UsageError if the tree is not a folder.
    """
    course = build_course_record(course_root, manifest).digest
    given = lock.read_student_digests(course_root) if given is None else given
    latest = _find_reusable_results(history)
    jobs, reused, skipped = [], [], []
    for candidate in _list_gradable_sessions(manifest):
        with tempfile.TemporaryDirectory(prefix="tinytorch-plan-") as folder:
            handed_in = copy_submission(student_tree, manifest, candidate.modules, candidate.milestone, Path(folder))
            name = candidate.mark.as_posix()
            untouched = lock.is_unchanged_since_release(handed_in.folder, name, given)
        known = latest.get(candidate.session)
        if untouched:
            skipped.append(candidate.session)
        elif (
            known and not again and (known.submission.digest, known.course.digest) == (handed_in.record.digest, course)
        ):
            reused.append(ReusedResult(candidate.session, candidate.title, known.verdict.value, known.started_at))
        else:
            jobs.append(_build_grading_job(candidate))
    return GradingPlan(tuple(jobs), tuple(reused), tuple(skipped))


def _build_grading_job(candidate: _Candidate) -> GradingJob:
    """Build the job for a session. Its time limit is the student code's wall-time limit plus OVERHEAD_MINUTES."""
    minutes = math.ceil(compute_wall_limit(candidate.budget.wall_seconds) / 60) + OVERHEAD_MINUTES
    return GradingJob(candidate.session, candidate.title, minutes)


def _find_reusable_results(history: Iterable[Result]) -> dict[str, Result]:
    """Map each session (module or milestone) to its newest result, unless that is an error or used stand-in data."""
    latest: dict[str, Result] = {}
    for result in sorted(history, key=lambda r: r.started_at):
        latest[result.session] = result
    return {
        session: result
        for session, result in latest.items()
        if result.verdict is not Verdict.ERROR and not any(d.stand_in_for for d in result.data)
    }


def _list_gradable_sessions(manifest: Manifest) -> Iterator[_Candidate]:
    """Yield every built module and milestone."""
    built = [module for module in manifest.modules if module.status is BuildStatus.BUILT]
    for index, module in enumerate(built):
        before = tuple(built[: index + 1])
        yield _Candidate(f"module-{module.id}", module.title, MODULE_BUDGET, before, None, module.code)
    for milestone in manifest.milestones:
        if milestone.status is BuildStatus.BUILT:
            name, modules = f"milestone-{milestone.id}", manifest.list_modules_up_to(milestone)
            yield _Candidate(name, milestone.name, milestone.budget, modules, milestone, milestone.recipe)
