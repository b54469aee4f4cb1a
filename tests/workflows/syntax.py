"""Workflow files as data, with every key that our workflows may have; any other key is an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grading.manifest.yaml_source import parse_yaml
from tests.workflows.expressions import UnmodelledSyntaxError

WORKFLOW = {"name", "on", "permissions", "cache-mode", "concurrency", "jobs"}
CALL = {"name", "needs", "if", "permissions", "uses"}
JOB = {
    "name", "needs", "if", "runs-on", "timeout-minutes", "permissions", "outputs", "strategy", "steps", "concurrency",
    "environment",
}  # fmt: skip
STEP = {"name", "id", "if", "uses", "with", "run", "env", "working-directory"}
EVENTS = {"pull_request", "push", "workflow_dispatch", "schedule", "workflow_run", "workflow_call"}
STRATEGY = {"fail-fast", "matrix"}
CONCURRENCY = {"group", "cancel-in-progress", "queue"}


def parse_workflow(text: str) -> dict[str, Any]:
    """Parse a workflow; raise an error for a key that these tests do not support."""
    workflow: Any = parse_yaml(text).data
    _require_known_keys("workflow", workflow, WORKFLOW)
    _require_known_keys("on", workflow["on"], EVENTS)
    _require_known_keys("concurrency", workflow.get("concurrency", {}), CONCURRENCY)
    for name, job in workflow["jobs"].items():
        _require_known_keys(f"job {name}", job, CALL if "uses" in job else JOB)
        _require_known_keys(f"concurrency of {name}", job.get("concurrency", {}), CONCURRENCY)
        _require_known_keys(f"strategy of {name}", job.get("strategy", {}), STRATEGY)
        for step in job.get("steps", ()):
            _require_known_keys(f"step of {name}", step, STEP)
            if ("run" in step) == ("uses" in step):
                raise UnmodelledSyntaxError(f"a step of {name} that neither runs nor uses something, or both")
    return workflow


def read_workflows(root: Path) -> dict[str, dict[str, Any]]:
    """Read the workflows of a repository: file name → workflow."""
    return {
        path.name: parse_workflow(path.read_text("utf-8")) for path in sorted((root / ".github/workflows").iterdir())
    }


def list_steps(workflow: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """List (job's name, job, step) for every step."""
    for name, job in workflow["jobs"].items():
        for step in job.get("steps", ()):
            yield name, job, step


def list_needed_jobs(job: dict[str, Any]) -> list[str]:
    """List the jobs that a job waits for."""
    said = job.get("needs", [])
    return [said] if isinstance(said, str) else list(said)


def _require_known_keys(where: str, found: Any, keys: set[str]) -> None:
    """Raise an error if a mapping has a key that these tests do not support."""
    if not isinstance(found, dict) or not set(found) <= keys:
        raise UnmodelledSyntaxError(f"{where}: {sorted(set(found) - keys) if isinstance(found, dict) else found!r}")
