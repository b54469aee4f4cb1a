"""The fake GitHub's artifacts: listed by the API, downloaded from a storage server that accepts no token."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

from tests.github.local import NAME, Answer, Hub, Repository, Request, build_error, build_page, declare_route


def build_zip(files: dict[str, bytes]) -> bytes:
    """Build an archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def add_artifact(
    hub: Hub, repository: Repository, run: int, name: str, archive: bytes, **changes: Any
) -> dict[str, Any]:
    """Add an artifact as a job uploads it."""
    number = hub.number()
    repository.archives[number] = archive
    fields = {
        "id": number,
        "name": name,
        "size_in_bytes": len(archive),
        "digest": f"sha256:{hashlib.sha256(archive).hexdigest()}",
        "expired": False,
        "archive_download_url": f"https://api.github.com/repos/o/r/actions/artifacts/{number}/zip",
    }
    artifact = hub.example("artifact", **{**fields, **changes})
    artifact["workflow_run"]["id"] = run
    repository.artifacts.append(artifact)
    return artifact


@declare_route("GET", f"{NAME}/actions/runs/(\\d+)/artifacts")
def list_artifacts(hub: Hub, request: Request, repository: Repository, run: str) -> Answer:
    """List a run's artifacts, newest first, filtered by name."""
    name = request.query.get("name")
    found = [a for a in reversed(repository.artifacts) if a["workflow_run"]["id"] == int(run)]
    return build_page(hub, request, [a for a in found if name in (None, a["name"])], "artifacts")


@declare_route("GET", f"{NAME}/actions/artifacts/(\\d+)/zip")
def redirect_download(hub: Hub, _request: Request, repository: Repository, number: str) -> Answer:
    """Redirect a download to the storage server."""
    artifact = next((a for a in repository.artifacts if a["id"] == int(number)), None)
    if artifact is None:
        return build_error(404, "Not Found")
    if artifact["expired"]:
        return build_error(410, "Artifact has expired")
    owner = next(name for name, kept in hub.repositories.items() if kept is repository)
    return Answer(302, headers={"Location": f"{hub.url}/storage/{owner}/{number}"})


@declare_route("GET", r"/storage/([^/]+/[^/]+)/(\d+)")
def serve_archive(_hub: Hub, request: Request, repository: Repository, number: str) -> Answer:
    """Send the archive; like the real storage server, refuse a request that carries GitHub's token."""
    if "authorization" in request.headers:
        return build_error(400, "Authorization is not expected here")
    return Answer(200, repository.archives[int(number)])
