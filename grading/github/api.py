"""The client of GitHub's API."""

from __future__ import annotations

from collections.abc import Mapping

from githubkit import GitHub

from grading.errors import UsageError


def client(environ: Mapping[str, str]) -> GitHub:
    """A client with the token of GITHUB_TOKEN, at GITHUB_API_URL; UsageError without a token."""
    token = environ.get("GITHUB_TOKEN")
    if not token:
        raise UsageError(
            "GITHUB_TOKEN is not set: in a workflow, give the step `env: GITHUB_TOKEN: ${{ github.token }}`."
        )
    return GitHub(token, base_url=environ.get("GITHUB_API_URL"))
