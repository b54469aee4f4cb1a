"""Split a class across the jobs of a GitHub Actions matrix, and merge the jobs' gradebooks into one."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from desk.gradebook import FILE, Gradebook, apply_recorded_renames, open_gradebook
from desk.roster import RosterRow
from grading.errors import UsageError
from grading.github.outputs import write_outputs

MOST = 256
"""The maximum number of jobs that GitHub allows in a matrix."""
SUBMISSIONS = 10
"""The number of submissions that one job grades, unless that would require too many jobs."""
SHARD = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})", re.ASCII)


def encode_shard_matrix(submissions: int) -> str:
    """Return a workflow's matrix as one line of JSON, with 1 to `MOST` shards such as 3/12, depending on `submissions`.

    The matrix contains no student names, since many people can read the logs.
    """
    count = max(1, min(MOST, math.ceil(submissions / SUBMISSIONS)))
    return json.dumps({"include": [{"shard": f"{number}/{count}", "number": number} for number in range(1, count + 1)]})


def output_shard_matrix(matrix_json: str, environ: Mapping[str, str]) -> None:
    """Print a matrix or, in a workflow, write it to the step's output `matrix`."""
    if file := environ.get("GITHUB_OUTPUT"):
        write_outputs(Path(file), {"matrix": matrix_json})
    else:
        sys.stdout.write(matrix_json + "\n")


def find_gradebooks(folder: Path) -> list[Path]:
    """List every gradebook below a folder; raise UsageError if there is none."""
    found = sorted(folder.rglob(FILE))
    if not found:
        raise UsageError(f"There is no {FILE} below {folder}. Give the folder that contains the shards' artifacts.")
    return found


def select_shard_students(rows: Sequence[RosterRow], shard: str) -> frozenset[str]:
    """Select the ids of one shard's students: for 3/12, every twelfth in the order of ids, from the third.

    Raise UsageError if the text is not a shard.
    """
    found = SHARD.fullmatch(shard)
    if found is None or not int(found[1]) <= int(found[2]) <= MOST:
        raise UsageError(f"{shard!r} is not a shard. Write it as 3/12: the third of twelve, at most {MOST}.")
    number, count = int(found[1]), int(found[2])
    return frozenset(sorted(row.id for row in rows)[number - 1 :: count])


def merge_gradebooks(into: Path, shards: Sequence[Path]) -> int:
    """Merge the shards' gradebooks, upgraded in place, into one, created if missing; return how many results were new.

    Results, pushes and submissions are identified by their contents, so merging twice or in a different order changes
    nothing. Of two visits to a repository, the later one counts. Raise UsageError, before ``into`` is changed, if a
    file is not a gradebook. Shards of earlier versions are upgraded in place.
    """
    for shard in shards:  # upgrade each to this version
        open_gradebook(shard).__exit__()
    with open_gradebook(into, make=True) as book:
        before = len(book.list_gradings())
        for shard in shards:
            _merge_gradebook(book, shard)
        return len(book.list_gradings()) - before


NEWER = """
    SELECT theirs.student FROM shard.visit AS theirs LEFT JOIN main.visit AS ours ON ours.student = theirs.student
    WHERE ours.at IS NULL OR theirs.at > ours.at
"""
STEPS = (
    "CREATE TEMP TABLE newer AS " + NEWER,
    # A student whose repository was not visited is added only if the student is missing.
    "INSERT OR IGNORE INTO main.student SELECT * FROM shard.student",
    "INSERT OR REPLACE INTO main.student SELECT * FROM shard.student WHERE id IN newer",
    "INSERT OR IGNORE INTO main.push SELECT * FROM shard.push",
    "INSERT OR IGNORE INTO main.handed_in SELECT * FROM shard.handed_in",
    "INSERT OR IGNORE INTO main.grading SELECT * FROM shard.grading",
    "INSERT OR IGNORE INTO main.record SELECT * FROM shard.record",
    "INSERT OR REPLACE INTO main.record SELECT * FROM shard.record WHERE student IN newer",
    "INSERT OR REPLACE INTO main.visit SELECT * FROM shard.visit WHERE student IN newer",
    "DROP TABLE newer",
    """INSERT INTO main.course SELECT * FROM shard.course WHERE true
    ON CONFLICT (digest) DO UPDATE SET contents = coalesce(contents, excluded.contents)""",
    "INSERT OR IGNORE INTO main.regrade SELECT * FROM shard.regrade",
    "INSERT OR IGNORE INTO main.override SELECT * FROM shard.override",
    "INSERT OR IGNORE INTO main.withdrawal SELECT * FROM shard.withdrawal",
    "INSERT OR IGNORE INTO main.renamed SELECT * FROM shard.renamed",
)


def _merge_gradebook(book: Gradebook, shard: Path) -> None:
    """Merge a shard's gradebook into `book` in one transaction, and apply the renames that either records."""
    with book.open_transaction_with_shard(shard) as db:
        for step in STEPS:
            db.execute(step)
        apply_recorded_renames(db)
