"""The artifacts of a workflow run.

Each contains one file, which is accepted only if everything about it is as expected.

Student code ran in the jobs that made them, and a fork may have written those jobs entirely. So an artifact cannot be
trusted. It is checked in memory and never unpacked to disk. Anything unexpected is described as a problem and never
counts as the student's failure.
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

from grading.criteria import REPEATED, copy_repeated_criterion_fields, list_criteria
from grading.github.api import ApiModel, Client, translate_errors, validate_response
from grading.github.plan import MAX_PLAN_BYTES as LARGEST_PLAN
from grading.github.plan import GradingPlan, decode_plan
from grading.manifest.model import Manifest
from grading.render.figure_text import compute_closeness
from grading.render.text import to_one_line
from grading.result import CriterionStatus, Result, decide_verdict

ARTIFACT_PREFIX = "tinytorch-"
RESULT_FILE, PLAN_FILE = "result.json", "plan.json"
MAX_ARCHIVE_BYTES = 4 << 20
"""The maximum size of an archive, in bytes."""
MAX_FILE_BYTES = 16 << 20
"""The maximum size of the file in an archive, in bytes."""
MOST_ARTIFACTS = 1000
CLOCK_TOLERANCE = timedelta(days=1)
"""The tolerance for a difference between two machines' clocks."""
PARALLEL_DOWNLOADS = 4
"""The number of artifacts fetched at the same time."""


class Artifact(ApiModel):
    """An artifact in the API's list."""

    id: int
    name: str
    size_in_bytes: int
    digest: str | None = None
    expired: bool


class _ArtifactList(ApiModel):
    artifacts: list[Artifact]


class ArtifactRefusedError(Exception):
    """The error raised if an artifact is not accepted. The message states the reason."""


@dataclass(frozen=True)
class CollectedResults:
    """The accepted results, and the problems with the other ones."""

    results: tuple[Result, ...]
    problems: tuple[str, ...]


def collect_run_results(
    client: Client, repository: str, run_id: int, expected_sessions: tuple[str, ...], commit: str, manifest: Manifest
) -> CollectedResults:
    """Collect a run's results for this `commit`, with a problem for each of `expected_sessions` that has no valid one.

    `repository` is owner/name. The run grades with the same version of the course, so its results must repeat the
    criteria of this `manifest`. Raise GraderError if GitHub cannot be reached at all.
    """
    artifacts = list_artifacts(client, repository, run_id)

    def read_result_or_problem(session: str) -> Result | str:
        """Return the session's result, or a sentence that explains why it was not accepted."""
        try:
            data = download_artifact_file(client, repository, artifacts, f"{ARTIFACT_PREFIX}{session}", RESULT_FILE)
            return _validate_result(data, session, commit, manifest)
        except ArtifactRefusedError as refusal:
            return f"{session}: {refusal}."

    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:  # most of the time goes into waiting for two servers in turn
        # Run in this context, where the client keeps its connections.
        jobs = [pool.submit(copy_context().run, read_result_or_problem, session) for session in expected_sessions]
        found = [job.result() for job in jobs]
    return CollectedResults(
        tuple(f for f in found if isinstance(f, Result)), tuple(f for f in found if isinstance(f, str))
    )


def read_run_plan(client: Client, repository: str, run_id: int, manifest: Manifest) -> GradingPlan:
    """Read the plan that a run left. Raise ArtifactRefusedError if there is no plan that fits this course."""
    artifacts = list_artifacts(client, repository, run_id)
    data = download_artifact_file(
        client, repository, artifacts, f"{ARTIFACT_PREFIX}plan", PLAN_FILE, max_file_bytes=LARGEST_PLAN
    )
    try:
        return decode_plan(data, manifest)
    except ValueError as error:
        raise ArtifactRefusedError(str(error)) from None


def list_artifacts(client: Client, repository: str, run_id: int) -> dict[str, Artifact]:
    """Return a run's artifacts, at most 1,000, by name. If a job was rerun and left several, the newest counts."""
    owner, name = repository.split("/")
    with translate_errors("the artifacts of the run"):
        pages = client.rest.paginate(
            client.rest.actions.list_workflow_run_artifacts,
            map_func=lambda answer: validate_response(_ArtifactList, answer).artifacts,
            owner=owner,
            repo=name,
            run_id=run_id,
            per_page=100,
        )
        found = list(islice(pages, MOST_ARTIFACTS))
    return {artifact.name: artifact for artifact in sorted(found, key=lambda a: a.id)}


def download_artifact_file(
    client: Client,
    repository: str,
    artifacts: dict[str, Artifact],
    name: str,
    file: str,
    *,
    max_archive_bytes: int = MAX_ARCHIVE_BYTES,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> bytes:
    """Download `file`, the only file in the artifact `name`. Raise ArtifactRefusedError if it is missing or not valid.

    A file or an archive that exceeds the limits is not valid.
    """
    artifact = artifacts.get(name)
    if artifact is None:
        raise ArtifactRefusedError("nothing was handed over; the job failed, was stopped or ran out of time")
    if artifact.expired:
        raise ArtifactRefusedError(f"the artifact {name} has expired")
    if artifact.size_in_bytes > max_archive_bytes:
        raise ArtifactRefusedError(f"the artifact {name} is larger than {max_archive_bytes >> 20} MiB")
    if not artifact.digest:
        raise ArtifactRefusedError(f"GitHub has no digest for the artifact {name}")
    with translate_errors(f"the artifact {name}"):
        # GitHub redirects to a storage server, to which the client does not send our token.
        answer = client.request("GET", f"/repos/{repository}/actions/artifacts/{artifact.id}/zip")
    data = answer.content
    if len(data) > max_archive_bytes or f"sha256:{hashlib.sha256(data).hexdigest()}" != artifact.digest:
        raise ArtifactRefusedError(f"the download of the artifact {name} does not match its digest")
    return extract_single_file(data, file, max_file_bytes)


def extract_single_file(archive: bytes, name: str, max_bytes: int) -> bytes:
    """Return the only file in a zip archive. Raise ArtifactRefusedError if its name, size or type is wrong."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            entries = opened.infolist()
            if len(entries) != 1:
                raise ArtifactRefusedError(f"its artifact holds {len(entries)} files instead of only {name}")
            entry = entries[0]
            if (entry.filename, entry.orig_filename) != (name, name):  # these names differ if one contains a null byte
                raise ArtifactRefusedError(
                    f"its artifact holds {to_one_line(entry.orig_filename, 60)!a} instead of {name}"
                )
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.flag_bits & 1:
                raise ArtifactRefusedError(f"{name} in its artifact is not a regular file")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ArtifactRefusedError(f"{name} in its artifact uses an unsupported compression")
            with opened.open(entry) as file:
                data = file.read(max_bytes + 1)  # whatever size the archive claims
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        raise ArtifactRefusedError("its artifact is not a valid archive") from None
    if len(data) > max_bytes:
        raise ArtifactRefusedError(f"{name} in its artifact is larger than {max_bytes >> 10} KiB")
    return data


def _list_texts_in_result(result: Result) -> tuple[str | None, ...]:
    """List the texts in a record that should come from the course, no matter who wrote the record."""
    return result.course.name, result.name, result.medal, result.reproduce


def _list_texts_in_manifest(result: Result, manifest: Manifest) -> tuple[str | None, ...]:
    """List the texts that a result should have according to the manifest, in the order of `_list_texts_in_result`."""
    if result.milestone is None:
        return manifest.course.name, manifest.module(result.module or "").title, None, result.command
    milestone = manifest.milestone(result.milestone)
    return manifest.course.name, milestone.name, milestone.medal, result.command


def _validate_result(data: bytes, session: str, commit: str, manifest: Manifest) -> Result:
    """Parse a result record. Raise ArtifactRefusedError unless it fits the arguments and its verdict is consistent."""
    try:
        result = Result.model_validate_json(data)
    except ValidationError:
        raise ArtifactRefusedError("the file is not a result record of this version") from None
    if result.session != session:
        raise ArtifactRefusedError(f"the file is a result of {to_one_line(result.session, 40)!a}")
    if result.submission.commit != commit:
        graded = "no commit" if result.submission.commit is None else f"{to_one_line(result.submission.commit, 40)!a}"
        raise ArtifactRefusedError(f"the file is a result of {graded}, not of {commit[:7]}")
    if _list_texts_in_result(result) != _list_texts_in_manifest(result, manifest):
        raise ArtifactRefusedError("the file has a different name for this course, its milestone or its command")
    if result.started_at > datetime.now(UTC) + CLOCK_TOLERANCE:
        raise ArtifactRefusedError("the file is dated in the future")
    wanted = [copy_repeated_criterion_fields(criterion) for criterion in list_criteria(manifest, result.milestone)]
    if [c.model_dump(include=set(REPEATED)) for c in result.criteria] != wanted:
        raise ArtifactRefusedError("the file does not use this course's criteria and thresholds")
    if result.verdict is not decide_verdict(result.criteria, result.provisional_because):
        raise ArtifactRefusedError("the file claims a verdict that does not follow from its criteria")
    if any(c.status is CriterionStatus.PASSED and compute_closeness(c) < 1 for c in result.criteria):
        raise ArtifactRefusedError("the file marks a criterion as passed although its figure misses the threshold")
    return result
