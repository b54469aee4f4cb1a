"""The results in a repository's records that its ledger vouches for."""

from __future__ import annotations

from collections.abc import Mapping

from grading.github.api import client, translate_errors
from grading.github.history import read_history
from grading.result import Result


def verified_results(environ: Mapping[str, str]) -> tuple[Result, ...]:
    """Fetch the results on the branch `progress` of GITHUB_REPOSITORY that are unedited; none without the branch.

    UsageError without a token, GraderError when GitHub cannot be reached.
    """
    with translate_errors("the records on the branch progress"):
        records = read_history(client(environ), environ["GITHUB_REPOSITORY"])
    return tuple(result for event in records.history.events if (result := event.result) is not None)
