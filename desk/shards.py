"""A class split over machines: a matrix for GitHub Actions, and the gradebooks of its jobs merged into one."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from desk.gradebook import FILE, Gradebook, apply_renames, open_gradebook
from desk.roster import Row
from grading.errors import UsageError
from grading.github.outputs import write_outputs

MOST = 256
"""Jobs that GitHub lets a matrix have."""
SUBMISSIONS = 10
"""To be graded by one job, while that does not make too many jobs."""
SHARD = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})", re.ASCII)


def matrix(submissions: int) -> str:
    """The matrix on one line: each job's shard, such as 3/12. It names no student: logs may be read by many."""
    count = max(1, min(MOST, math.ceil(submissions / SUBMISSIONS)))
    return json.dumps({"include": [{"shard": f"{number}/{count}", "number": number} for number in range(1, count + 1)]})


def tell(text: str, environ: Mapping[str, str]) -> None:
    """Print a matrix, or, in a workflow, hand it on as the output `matrix`."""
    if file := environ.get("GITHUB_OUTPUT"):
        write_outputs(Path(file), {"matrix": text})
    else:
        sys.stdout.write(text + "\n")


def find(folder: Path) -> list[Path]:
    """Every gradebook below a folder; UsageError when there is none."""
    found = sorted(folder.rglob(FILE))
    if not found:
        raise UsageError(f"There is no {FILE} below {folder}. Name the folder that holds the shards' artifacts.")
    return found


def of_shard(rows: Sequence[Row], shard: str) -> frozenset[str]:
    """The ids of one shard's students: every so-manieth of the class, in order. UsageError for what is no shard."""
    found = SHARD.fullmatch(shard)
    if found is None or not int(found[1]) <= int(found[2]) <= MOST:
        raise UsageError(f"{shard!r} is no shard. Write it as 3/12: the third of twelve, at most {MOST}.")
    number, count = int(found[1]), int(found[2])
    return frozenset(sorted(row.id for row in rows)[number - 1 :: count])


def merge(into: Path, shards: Sequence[Path]) -> int:
    """Add everything of the shards' gradebooks to one, made when it is not there; how many results were new.

    A result, a push, a submission is known by what it is: merging twice, or in another order, changes nothing. What
    was seen at a repository counts from whoever looked last. UsageError, before anything is written, for a file that
    is no gradebook.
    """
    for shard in shards:  # brought up to this version, each by itself
        open_gradebook(shard).__exit__()
    with open_gradebook(into, make=True) as book:
        before = len(book.gradings())
        for shard in shards:
            _add(book, shard)
        return len(book.gradings()) - before


NEWER = """
    SELECT theirs.student FROM shard.visit AS theirs LEFT JOIN main.visit AS ours ON ours.student = theirs.student
    WHERE ours.at IS NULL OR theirs.at > ours.at
"""
STEPS = (
    "CREATE TEMP TABLE newer AS " + NEWER,
    # A roster's student who has not been looked at is taken when nobody knows them.
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


def _add(book: Gradebook, shard: Path) -> None:
    with book.attached(shard) as db:
        for step in STEPS:
            db.execute(step)
        apply_renames(db)
