"""The actions that our workflows use, as far as they use them. Each receives the job's workspace and its inputs."""

from __future__ import annotations

import io
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.workflows.expressions import UnmodelledSyntaxError
from tests.workflows.world import Event, Run, Token, World


class ActionFailed(Exception):  # noqa: N818 - an outcome, as steps have them
    """The action failed, as the real one would."""


@dataclass(frozen=True)
class ActionContext:
    """The context in which an action runs."""

    world: World
    run: Run
    event: Event
    workspace: Path
    token: Token


def run_checkout(place: ActionContext, inputs: dict[str, Any]) -> None:
    """Check out a tree of a repository that the token may read; anybody may read public ones."""
    _require_known_inputs(inputs, "repository", "ref", "path", "persist-credentials")
    if inputs.get("persist-credentials") is not False:
        raise ActionFailed("the token is left on disk")
    name = inputs.get("repository") or place.event.repository
    if name not in place.world.repositories:
        raise ActionFailed(f"there is no repository {name}")
    repository = place.world.repositories[name]
    readable = name == place.token.repository and place.token.permits("contents", "read")
    if repository.private and not readable:
        raise ActionFailed(f"the token may not read {name}")
    _, tree = repository.resolve(str(inputs.get("ref") or place.event.sha))
    target = place.workspace / inputs.get("path", ".")
    shutil.copytree(tree, target, symlinks=True, dirs_exist_ok=target == place.workspace)
    if (target / "noxfile.py").is_file():
        (target / ".nox").symlink_to(place.world.environments)


def run_setup_python(_place: ActionContext, inputs: dict[str, Any]) -> None:
    """Install Python. The version must be a string, since the number 3.10 would become 3.1."""
    _require_known_inputs(inputs, "python-version")
    if not isinstance(inputs["python-version"], str):
        raise ActionFailed("the version is no text")


def run_upload_artifact(place: ActionContext, inputs: dict[str, Any]) -> None:
    """Upload a file, or a folder except hidden files and empty folders, under a name that is new in the run."""
    _require_known_inputs(inputs, "name", "path", "if-no-files-found", "retention-days")
    name, path = inputs["name"], place.workspace / inputs["path"]
    found = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
    start = path.parent if path.is_file() else path
    files = {each.relative_to(start): each for each in found}
    files = {inside: each for inside, each in files.items() if not any(part[0] == "." for part in inside.parts)}
    if not files:
        if inputs["if-no-files-found"] == "error":
            raise ActionFailed(f"{inputs['path']} is not there")
        return
    if name in place.run.artifacts:
        raise ActionFailed(f"the run has an artifact {name}")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for inside, each in files.items():
            zipped.write(each, inside.as_posix())
    place.run.artifacts[name] = archive.getvalue()
    place.world.uploaded(place.event.repository, place.event.run_id, name, archive.getvalue())


def run_download_artifact(place: ActionContext, inputs: dict[str, Any]) -> None:
    """Download one artifact by name into the path itself, or all matching ones into folders with their names."""
    _require_known_inputs(inputs, "name", "pattern", "path")
    if "name" in inputs:
        if inputs["name"] not in place.run.artifacts:
            raise ActionFailed(f"the run has no artifact {inputs['name']}")
        wanted = {inputs["name"]: place.workspace / inputs["path"]}
    else:
        fitting = [name for name in place.run.artifacts if Path(name).match(inputs["pattern"])]
        wanted = {name: place.workspace / inputs["path"] / name for name in fitting}
    for name, target in wanted.items():
        target.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(io.BytesIO(place.run.artifacts[name])) as zipped:
            zipped.extractall(target)


def run_attest(place: ActionContext, inputs: dict[str, Any]) -> None:
    """Sign every file that matches; there must be at least one."""
    _require_known_inputs(inputs, "subject-path")
    if not (place.token.permits("id-token", "write") and place.token.permits("attestations", "write")):
        raise ActionFailed("the token may not attest")
    found = sorted(place.workspace.glob(inputs["subject-path"]))
    if not found:
        raise ActionFailed("there is nothing to attest")
    place.run.attested += [path.relative_to(place.workspace).as_posix() for path in found]


def run_upload_pages(place: ActionContext, inputs: dict[str, Any]) -> None:
    """Upload a folder that is a site, under the name that the deployment expects."""
    _require_known_inputs(inputs, "path")
    if not (place.workspace / inputs["path"] / "index.html").is_file():
        raise ActionFailed(f"{inputs['path']} is no site")
    run_upload_artifact(place, {"name": PAGES, "path": inputs["path"], "if-no-files-found": "error"})


def run_deploy_pages(place: ActionContext, inputs: dict[str, Any]) -> None:
    """Publish what this run has uploaded."""
    _require_known_inputs(inputs)
    if not (place.token.permits("id-token", "write") and place.token.permits("pages", "write")):
        raise ActionFailed("the token may not deploy")
    if PAGES not in place.run.artifacts:
        raise ActionFailed("there is nothing to deploy")


PAGES = "github-pages"
ACTIONS = {
    "actions/checkout": run_checkout,
    "actions/setup-python": run_setup_python,
    "actions/upload-artifact": run_upload_artifact,
    "actions/download-artifact": run_download_artifact,
    "actions/attest": run_attest,
    "actions/upload-pages-artifact": run_upload_pages,
    "actions/deploy-pages": run_deploy_pages,
}


def _require_known_inputs(inputs: dict[str, Any], *known: str) -> None:
    """Raise an error if an action gets an input that these tests do not support."""
    if strange := set(inputs) - set(known):
        raise UnmodelledSyntaxError(f"inputs {sorted(strange)}")
