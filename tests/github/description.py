"""GitHub's description of its API, reduced to what the tests use, because the proxy is slow to read all of it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path("node_modules/@octokit/openapi/generated/api.github.com.json")
REPOSITORY = "/repos/{owner}/{repo}"
USED_PATHS = re.compile(
    r"/user|/orgs/\{org\}/actions/permissions|" + re.escape(REPOSITORY) + r"(|/activity"
    r"|/actions/permissions|/actions/workflows/\{workflow_id\}/runs|/actions/artifacts/.*"
    r"|/actions/runs/\{run_id\}(/artifacts)?|/branches/\{branch\}"
    r"|/check-runs(/\{check_run_id\}(/annotations)?)?|/commits/\{(ref|commit_sha)\}(/check-runs|/pulls)?"
    r"|/contents/\{path\}|/git/.*|/issues/comments/\{comment_id\}|/issues(/\{issue_number\}(/comments)?)?|/pulls(/\{pull_number\})?)"
)
NESTED_PATHS = re.compile(r"/git/(ref|refs|matching-refs)/\{ref\}|/contents/\{path\}")
"""Paths whose last parameter may hold slashes, which GitHub accepts but OpenAPI cannot express."""


def load_description(folder: Path) -> dict[str, Any]:
    """Load the description of the used paths and of everything they refer to; `folder` holds node_modules."""
    whole = json.loads((folder / FILE).read_text(encoding="utf-8"))
    paths: dict[str, Any] = {}
    for path, item in whole["paths"].items():
        if USED_PATHS.fullmatch(path):
            paths[path] = item
            if NESTED_PATHS.fullmatch(path.removeprefix(REPOSITORY)):
                paths.update(_add_segments(path, item))
    kept: dict[str, dict[str, Any]] = {kind: {} for kind in whole["components"]}
    waiting: list[Any] = [paths]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            reference = part.get("$ref")
            if isinstance(reference, str):
                kind, name = reference.removeprefix("#/components/").split("/")
                if name not in kept[kind]:
                    kept[kind][name] = whole["components"][kind][name]
                    waiting.append(kept[kind][name])
    return {**{key: whole[key] for key in ("openapi", "info", "servers")}, "paths": paths, "components": kept}


def _add_segments(path: str, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the same path with up to three more segments."""
    for more in range(1, 4):
        names = [f"part{number}" for number in range(more)]
        other = copy.deepcopy(item)
        for operation in other.values():
            operation.pop("operationId", None)
            operation["parameters"] += [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
        yield path + "".join(f"/{{{name}}}" for name in names), other


def list_examples(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description's own examples, keyed by name, which fill fields that no test checks."""
    return {name: example["value"] for name, example in description["components"]["examples"].items()}
