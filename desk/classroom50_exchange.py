"""Read the roster of Classroom 50, and write the gradebook in its score format (classroom50/scores/v1)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from desk.class_folder import make_class_folder
from desk.gradebook import Gradebook
from desk.left_out import has_grade
from desk.roster import COLUMNS, RosterRow
from desk.scores import FULL, Score
from grading.errors import UsageError
from grading.export.classroom50_result import SCHEMA as RESULT
from grading.export.classroom50_result import list_classroom50_tests
from grading.export.scored_tests import list_scored_tests
from grading.files import write_atomically
from grading.manifest.problems import Problem
from grading.quiz.student_id import normalize_student_id

SCORES = "classroom50/scores/v1"
NAME = re.compile(r"[a-z0-9][a-z0-9-]+")
CLASSROOM, ASSIGNMENT = 39, 100
"""The maximum lengths of a classroom's and an assignment's short name."""


def validate_short_name(name: str, longest: int) -> str:
    """Return the name if it is valid for a classroom or an assignment; otherwise raise UsageError."""
    if not NAME.fullmatch(name) or len(name) > longest:
        raise UsageError(
            f"{name!r} is not a Classroom 50 short name. Use 2 to {longest} lower-case letters, digits and hyphens."
        )
    return name


def convert_roster(
    text: str, organisation: str, classroom: str, assignment: str, file: str = "roster.csv"
) -> tuple[str, tuple[Problem, ...]]:
    """Convert the students in Classroom 50's roster.csv, given as text, to our CSV; also return problems with rows.

    Each problem states its line in ``file``. Repositories get the names that Classroom 50 gives them. Members of staff
    and people who have not registered are left out without a problem. Raise UsageError if the file is not a roster, or
    if a name is not allowed in Classroom 50.
    """
    normalize_student_id(organisation)
    validate_short_name(classroom, CLASSROOM)
    validate_short_name(assignment, ASSIGNMENT)
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if "username" not in (reader.fieldnames or ()):
        raise UsageError("This is not a Classroom 50 roster: it has no column username.")
    out, problems = io.StringIO(), []
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in reader:
        user = (line.get("username") or "").strip()
        if not user or (line.get("role") or "student").strip() not in ("student", ""):
            continue  # somebody who was invited but has not registered yet, or a member of staff
        try:
            id_ = normalize_student_id(user)
        except UsageError as error:
            problems.append(Problem(file, reader.line_num, "this row is left out:", str(error)))
            continue
        name = " ".join(part.strip() for part in (line.get("first_name"), line.get("last_name")) if part)
        writer.writerow(
            {
                "id": id_,
                "name": name,
                "email": (line.get("email") or "").strip(),
                "github": user,
                "repository": f"{organisation}/{classroom}-{assignment}-{user}",
                "section": (line.get("section") or "").strip(),
                "public": "no",
                "extension_days": "0",
            }
        )
    return out.getvalue(), tuple(problems)


def convert_classroom50_roster_file(
    source: Path, target: Path, organisation: str, classroom: str, assignment: str
) -> tuple[Problem, ...]:
    """Convert Classroom 50's roster to a new file in our format; return the problems with rows that are left out.

    Raise UsageError if `target` exists, if `source` cannot be read, and in the same cases as `convert_roster`.
    """
    if target.exists():
        raise UsageError(f"{target} already exists and may contain extensions. Move it elsewhere, or edit it by hand.")
    try:
        text = source.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{source} cannot be read: {error}. Give the path of roster.csv in the repository classroom50."
        ) from None
    make_class_folder(target.parent)
    try:
        found, problems = convert_roster(text, organisation, classroom, assignment, str(source))
    except csv.Error as error:
        raise UsageError(f"{source} is not CSV: {error}. Look for a double quote that is not closed.") from None
    write_atomically(target, found.encode())
    return problems


def merge_classroom50_scores(
    book: Gradebook,
    rows: Sequence[RosterRow],
    scores: dict[str, dict[int, Score]],
    classroom: str,
    assignment: str,
    existing: Path | None,
) -> str:
    """Return Classroom 50's scores.json with our scores as manual entries, which replace earlier manual ones.

    Classroom 50 does not overwrite manual entries. As with our autograder, an assignment with `milestone-2` in its name
    stands for that milestone, and any other assignment stands for all milestones. Everything else in `existing` is
    kept: other assignments, other students, students' own submissions, and the entries of students who have no points
    yet. Raise UsageError if that file is not a scores.json.
    """
    named = re.search(r"milestone-(\d+)", assignment)
    only = int(named[1]) if named else None
    if only is not None and not all(only in reached for reached in scores.values()):
        raise UsageError(f"The assignment {assignment} cannot be scored, since there is no milestone {only}.")
    document = _read_scores_document(existing)
    bucket = document["assignments"].setdefault(assignment, {"type": "individual", "entries": []})
    entries: list[dict[str, Any]] = bucket["entries"]
    for row in rows:
        reached = [s for number, s in scores[row.id].items() if only in (None, number) and not s.by_hand.excused]
        if not any(map(has_grade, reached)):
            continue  # a score of 0 would replace a score that somebody has entered
        owner = row.github or row.id
        found = [entry for entry in entries if str(entry.get("owner", "")).lower() == owner.lower()]
        entry: dict[str, Any] = found[0] if found else {"owner": owner, "submissions": []}
        if not found:
            entries.append(entry)
        own = [s for s in entry.get("submissions", []) if not str(s.get("submission", "")).startswith("submit/manual-")]
        record = _build_submission_entry(book, reached, owner, classroom, own)
        entry |= {"override": True, "submissions": [record, *own]}
    entries.sort(key=lambda entry: str(entry.get("owner", "")).lower())
    return json.dumps(document, indent=2) + "\n"


def _read_scores_document(existing: Path | None) -> dict[str, Any]:
    """Read an existing scores.json, or return an empty document. Raise UsageError if the file is something else."""
    if existing is None or not existing.is_file():
        return {"schema": SCORES, "assignments": {}}
    try:
        document = json.loads(existing.read_bytes())
        if document["schema"] != SCORES:
            raise ValueError
        for bucket in document["assignments"].values():
            if not all(isinstance(s, dict) for e in bucket["entries"] for s in e.get("submissions", [])):
                raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{existing} is not a {SCORES} file. Choose a different file with --to.") from None
    return document


def _build_submission_entry(
    book: Gradebook, scores: Sequence[Score], owner: str, classroom: str, existing_submissions: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Build one submission for all milestones, dated after all others, since Classroom 50 counts the latest one."""
    graded = [score.grading for score in scores if score.grading is not None]
    tests = [test for grading in graded for test in list_scored_tests([book.load_result(grading.id)])]
    at = max((grading.started_at for grading in graded), default=datetime(1970, 1, 1, tzinfo=UTC))
    at = max([at, *(_parse_submission_time(s.get("datetime")) + timedelta(seconds=1) for s in existing_submissions)])
    tag = f"submit/manual-{at:%Y-%m-%dT%H-%M-%SZ}"
    return {
        "schema": RESULT,
        "classroom": classroom,
        "assignment_type": "individual",
        "owner": owner,
        "submission": tag,
        "commit": tag,
        "release": tag,
        "review": tag,
        "datetime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "score": round(sum(score.points or 0.0 for score in scores)),
        "max-score": round(FULL * len(scores)),
        "late": any(score.days_late for score in scores),
        "comment": "; ".join(score.by_hand.comment for score in scores if score.by_hand.comment),
        "course": "; ".join(
            dict.fromkeys(score.judging_course_label for score in scores if score.judging_course_label)
        ),
        "tests": list_classroom50_tests(tests),
    }


def _parse_submission_time(text: object) -> datetime:
    """Parse a submission's time in UTC, or return a time in 1970 if the text is not a time."""
    try:
        at = datetime.fromisoformat(str(text))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
