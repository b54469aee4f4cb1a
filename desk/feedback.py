"""`inv feedback`: send each student their official results, in an issue in their own repository or in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from desk.class_folder import make_class_folder
from desk.collect import StudentProblem, lock_class_folder
from desk.decisions import read_course_versions
from desk.feedback_text import OfficialResults, format_feedback, match_receipts
from desk.gradebook import FILE, Gradebook, open_gradebook
from desk.issues import FeedbackIssues, IssueChange, look_up_login
from desk.repository import parse_github_name
from desk.roster import RosterRow
from desk.scores import compute_scores
from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.github.api import RateLimitedError, create_client
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest_strictly
from grading.manifest.model import Manifest
from grading.render.progress_watch import ProgressWatch

FeedbackOutcome = IssueChange | Literal["elsewhere"]
"""The outcome for one student.

`elsewhere` means that the repository is not on GitHub or that there is no repository.
"""


@dataclass(frozen=True)
class FeedbackSummary:
    """A summary of what happened to each student's feedback."""

    outcomes: Mapping[str, FeedbackOutcome]
    """The outcome for each student, including those for whom GitHub was not contacted."""
    troubles: tuple[StudentProblem, ...] = ()
    written: int = 0
    """The number of files that were written because their text had changed."""
    stopped: str | None = None
    """The reason why sending stopped before the last student."""


def sync_feedback_issues(
    root: Path,
    folder: Path,
    rows: Sequence[RosterRow],
    environ: Mapping[str, str],
    watch: ProgressWatch,
    *,
    send: bool = False,
    author: str = "",
    text_folder: Path | None = None,
) -> FeedbackSummary:
    """Compare each student's issue with the gradebook; with `send`, open or update it in private GitHub repositories.

    ``rows`` come from the roster and contain each student's repository. The texts are also written as files to
    ``text_folder``. Problems with individual students are in `troubles`. Raise UsageError if the gradebook or the token
    is missing, and GraderError if one of them cannot be used.
    """
    manifest = load_manifest_strictly(root)
    with open_gradebook(folder / FILE) as book:
        texts = {o.row.id: format_feedback(o, manifest) for o in collect_official_results(book, manifest, root)}
        earlier = map_current_to_earlier_ids(book.read_renames())
    written = write_feedback_files(texts, text_folder) if text_folder is not None else 0
    troubles = [StudentProblem(r.id, "it was never collected. Run: inv collect") for r in rows if r.id not in texts]
    places = {row.id: parse_github_name(row.repository or "") for row in rows if row.id in texts}
    outcomes: dict[str, FeedbackOutcome] = {student: "elsewhere" for student, name in places.items() if name is None}
    on_github = {student: name for student, name in places.items() if name is not None}
    if not on_github:
        return FeedbackSummary(outcomes, tuple(troubles), written)
    with lock_class_folder(folder, watch, "feedback"), create_client(environ) as github:
        issues = FeedbackIssues(github, author or look_up_login(github))
        watch.begin_phase(f"Checking the feedback in {len(on_github)} repositories", len(on_github))
        for done, (student, name) in enumerate(on_github.items(), start=1):
            try:
                outcomes[student] = issues.sync_private_issue(
                    name, student, earlier.get(student, ()), texts[student], send=send
                )
            except RateLimitedError as error:
                return FeedbackSummary(outcomes, tuple(troubles), written, str(error))
            except GraderError as error:
                troubles.append(StudentProblem(student, str(error)))
            watch.report_steps_done(done, student)
    return FeedbackSummary(outcomes, tuple(troubles), written)


def map_current_to_earlier_ids(renames: Mapping[str, str]) -> dict[str, set[str]]:
    """Map the current id of each renamed student to all their earlier ids.

    >>> map_current_to_earlier_ids({"ada": "ada_b", "ada_b": "ada_c"}) == {"ada_c": {"ada", "ada_b"}}
    True
    """
    found: dict[str, set[str]] = {}
    for old in renames:
        seen, now = {old}, renames[old]
        while now in renames and now not in seen:
            seen.add(now)
            now = renames[now]
        found.setdefault(now, set()).update(seen - {now})
    return found


def collect_official_results(book: Gradebook, manifest: Manifest, root: Path) -> Iterator[OfficialResults]:
    """Collect the official results of each enrolled student, without any information about other students."""
    courses, pushes = read_course_versions(book), book.read_pushes()
    handed_in: dict[str, dict[str, dict[str, list[int]]]] = {}
    for one in book.list_submissions():
        course = courses.get(one.course_digest)
        label = course.label if course is not None else one.course_digest[:8]
        milestones = handed_in.setdefault(one.student, {}).setdefault(one.commit, {}).setdefault(label, [])
        milestones += [one.milestone] if one.submission_digest else []
    reached = compute_scores(book, manifest, today=build_course_record(root, manifest).digest)
    zone = ZoneInfo(manifest.deadlines.timezone) if manifest.deadlines is not None else UTC
    for row in book.list_students():
        of = tuple(reached[row.id].values())
        results = {score.milestone: book.load_result(score.grading.id) for score in of if score.grading is not None}
        receipts = match_receipts(pushes.get(row.id, ()), handed_in.get(row.id, {}))
        yield OfficialResults(row, of, results, receipts, zone)


def write_feedback_files(texts: Mapping[str, str], folder: Path) -> int:
    """Write each changed text to `folder/ID.md`, make git ignore the folder, and return how many texts changed."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder. Choose one with --to.")
    make_class_folder(folder)
    changed = 0
    for student, text in texts.items():
        path = folder / f"{student}.md"
        if not path.is_file() or path.read_text("utf-8") != text:
            write_atomically(path, text.encode())
            changed += 1
    return changed
