"""What the jobs of a run hand over: one file in an artifact, taken only when all about it is as it should be.

Student code ran in those jobs, and a fork may have written them altogether. So an artifact is a claim: it is looked at
in memory, never unpacked to a disk, and what is odd about it is a problem in words, never a student's failure.
"""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from pydantic import ValidationError

from grading.criteria import REPEATED, asked, stated
from grading.github.api import Client, Part, taken, translate_errors
from grading.github.plan import LARGEST as LARGEST_PLAN
from grading.github.plan import Plan, read_plan
from grading.manifest.model import Manifest
from grading.render.figures import share
from grading.render.text import one_line
from grading.result import CriterionStatus, Result, verdict_of

PREFIX = "tinytorch-"
RESULT, PLAN = "result.json", "plan.json"
LARGEST = 4 << 20
"""Bytes of an archive."""
UNPACKED = 16 << 20
"""Bytes of the file in it."""
MOST_ARTIFACTS = 1000
A_DAY = timedelta(days=1)
"""Two machines' clocks differ by less."""
AT_ONCE = 4
"""Artifacts that are fetched side by side."""


class Artifact(Part):
    """One artifact as the API lists it."""

    id: int
    name: str
    size_in_bytes: int
    digest: str | None = None
    expired: bool


class _Artifacts(Part):
    artifacts: list[Artifact]


class Refused(Exception):  # noqa: N818 - it is not an error of ours
    """An artifact that is not taken; the message says why."""


@dataclass(frozen=True)
class Collected:
    """The results that were taken, and what is wrong with the others."""

    results: tuple[Result, ...]
    problems: tuple[str, ...]


def read_artifacts(
    client: Client, repository: str, run_id: int, expected: tuple[str, ...], commit: str, manifest: Manifest
) -> Collected:
    """The results of the `expected` sessions that a run (of owner/name) handed over, made for this `commit`.

    The run grades with the course that reads here, so what it judges by are the criteria of this `manifest`.
    GraderError when GitHub cannot be asked at all.
    """
    artifacts = list_artifacts(client, repository, run_id)

    def taken_from(session: str) -> Result | str:
        try:
            data = fetch(client, repository, artifacts, f"{PREFIX}{session}", RESULT)
            return _result(data, session, commit, manifest)
        except Refused as refusal:
            return f"{session}: {refusal}."

    with ThreadPoolExecutor(AT_ONCE) as pool:  # most of the time is waiting for two servers in turn
        # In this context, which is where the client keeps its connections.
        jobs = [pool.submit(copy_context().run, taken_from, session) for session in expected]
        found = [job.result() for job in jobs]
    return Collected(tuple(f for f in found if isinstance(f, Result)), tuple(f for f in found if isinstance(f, str)))


def planned(client: Client, repository: str, run_id: int, manifest: Manifest) -> Plan:
    """The plan that a run handed over; Refused when there is none that fits this course."""
    artifacts = list_artifacts(client, repository, run_id)
    data = fetch(client, repository, artifacts, f"{PREFIX}plan", PLAN, unpacked=LARGEST_PLAN)
    try:
        return read_plan(data, manifest)
    except ValueError as error:
        raise Refused(str(error)) from None


def list_artifacts(client: Client, repository: str, run_id: int) -> dict[str, Artifact]:
    """A run's artifacts by name; of several with one name, as when a job ran again, the newest."""
    owner, name = repository.split("/")
    with translate_errors("the artifacts of the run"):
        pages = client.rest.paginate(
            client.rest.actions.list_workflow_run_artifacts,
            map_func=lambda answer: taken(_Artifacts, answer).artifacts,
            owner=owner,
            repo=name,
            run_id=run_id,
            per_page=100,
        )
        found = list(islice(pages, MOST_ARTIFACTS))
    return {artifact.name: artifact for artifact in sorted(found, key=lambda a: a.id)}


def fetch(
    client: Client,
    repository: str,
    artifacts: dict[str, Artifact],
    name: str,
    file: str,
    *,
    packed: int = LARGEST,
    unpacked: int = UNPACKED,
) -> bytes:
    """The one `file` of the artifact `name`, of so many bytes at most; Refused with a reason for anything else."""
    artifact = artifacts.get(name)
    if artifact is None:
        raise Refused("nothing was handed over; its job failed, was stopped or ran out of time")
    if artifact.expired:
        raise Refused(f"the artifact {name} has expired")
    if artifact.size_in_bytes > packed:
        raise Refused(f"the artifact {name} is larger than {packed >> 20} MiB")
    if not artifact.digest:
        raise Refused(f"GitHub knows no digest of the artifact {name}")
    with translate_errors(f"the artifact {name}"):
        # GitHub sends on to a storage; the client leaves our token behind on the way there.
        answer = client.request("GET", f"/repos/{repository}/actions/artifacts/{artifact.id}/zip")
    data = answer.content
    if len(data) > packed or f"sha256:{hashlib.sha256(data).hexdigest()}" != artifact.digest:
        raise Refused(f"what came of the artifact {name} is not what its digest says")
    return only_file(data, file, unpacked)


def only_file(archive: bytes, name: str, largest: int) -> bytes:
    """The content of an archive that holds exactly one ordinary file of this name; Refused otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            entries = opened.infolist()
            if len(entries) != 1:
                raise Refused(f"its artifact holds {len(entries)} files, and should hold {name} alone")
            entry = entries[0]
            if (entry.filename, entry.orig_filename) != (name, name):  # they differ where a name holds a null
                raise Refused(f"its artifact holds {one_line(entry.orig_filename, 60)!a}, and should hold {name}")
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.flag_bits & 1:
                raise Refused(f"{name} in its artifact is no ordinary file")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused(f"{name} in its artifact is packed in a way that is not used here")
            with opened.open(entry) as file:
                data = file.read(largest + 1)  # whatever the archive says of its size
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        raise Refused("its artifact is no sound archive") from None
    if len(data) > largest:
        raise Refused(f"{name} in its artifact is larger than {largest >> 10} KiB")
    return data


def _described(result: Result) -> tuple[str | None, ...]:
    """Words of the record that are the course's, whoever made it."""
    return result.course.name, result.name, result.medal, result.reproduce


def _as_it_should_be(result: Result, manifest: Manifest) -> tuple[str | None, ...]:
    """The same, as the manifest gives them."""
    if result.milestone is None:
        return manifest.course.name, manifest.module(result.module or "").title, None, result.command
    milestone = manifest.milestone(result.milestone)
    return manifest.course.name, milestone.name, milestone.medal, result.command


def _result(data: bytes, session: str, commit: str, manifest: Manifest) -> Result:
    """The record, when it is one, of this session and this commit, and judges what the manifest asks, all of it."""
    try:
        result = Result.model_validate_json(data)
    except ValidationError:
        raise Refused("what was handed over is no result record of this version") from None
    if result.session != session:
        raise Refused(f"what was handed over is a result of {one_line(result.session, 40)!a}")
    if result.submission.commit != commit:
        of = "no commit" if result.submission.commit is None else f"{one_line(result.submission.commit, 40)!a}"
        raise Refused(f"what was handed over is a result of {of}, and not of {commit[:7]}")
    if _described(result) != _as_it_should_be(result, manifest):
        raise Refused("what was handed over calls this course, its milestone or its command something else")
    if result.started_at > datetime.now(UTC) + A_DAY:
        raise Refused("what was handed over was made in days to come")
    wanted = [stated(criterion) for criterion in asked(manifest, result.milestone)]
    if [c.model_dump(include=set(REPEATED)) for c in result.criteria] != wanted:
        raise Refused("what was handed over does not judge by this course's criteria and thresholds")
    if result.verdict is not verdict_of(result.criteria, result.provisional_because):
        raise Refused("what was handed over claims a verdict that its criteria do not give")
    if any(c.status is CriterionStatus.PASSED and share(c) < 1 for c in result.criteria):
        raise Refused("what was handed over calls a criterion passed whose figure misses its threshold")
    return result
