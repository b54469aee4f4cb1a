"""The results in a repository's records that its ledger confirms."""

from __future__ import annotations

from collections.abc import Mapping

from grading.github.api import create_client, translate_errors
from grading.github.history import fetch_branch_records
from grading.result import Result


def fetch_verified_results(environ: Mapping[str, str]) -> tuple[Result, ...]:
    """Fetch the results on the `progress` branch of GITHUB_REPOSITORY whose records its ledger confirms.

    There are none if there is no such branch.

    Raise UsageError if there is no token, or GraderError if GitHub cannot be reached.
    """
    with translate_errors("the records on the branch progress"):
        records = fetch_branch_records(create_client(environ), environ["GITHUB_REPOSITORY"])
    return tuple(result for event in records.history.events if (result := event.result) is not None)
