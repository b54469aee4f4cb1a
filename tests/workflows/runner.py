"""Runs a workflow as GitHub does: jobs in order of their needs, matrices, reusable workflows, steps in a shell."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.workflows import syntax
from tests.workflows.actions import ACTIONS, ActionContext, ActionFailed
from tests.workflows.expressions import (
    Context,
    UnmodelledSyntaxError,
    evaluate_condition,
    format_value,
    interpolate_value,
)
from tests.workflows.world import LEVELS, Event, JobRun, Run, StepRun, World

SLOWEST = 900
"""Seconds for one step of these tests: what sleeps is ended after 180, and a busy machine takes its time."""


@dataclass(frozen=True)
class WorkflowFile:
    """A workflow file, with its repository and commit."""

    repository: str
    sha: str
    name: str
    workflow: dict[str, Any]


def run_triggered_workflows(world: World, event: Event, folder: Path) -> dict[str, Run]:
    """Run every workflow that the event triggers in its repository: file name → run."""
    sha, tree = world.repositories[event.repository].resolve(event.sha)
    runs = {}
    for name, workflow in syntax.read_workflows(tree).items():
        if event.name in workflow["on"] and _passes_filters(name, workflow["on"][event.name], event):
            run = Run(event, name, folder / name)
            runs[name] = run
            WorkflowRunner(world, run).run_workflow(WorkflowFile(event.repository, sha, name, workflow))
    return runs


def _passes_filters(name: str, filters: Any, event: Event) -> bool:
    """Tell whether an event passes the filters of its trigger in the workflow file with this name."""
    match event.name:
        case "workflow_run":
            ended = event.payload["workflow_run"]["name"]
            return ended in filters["workflows"] and event.payload["action"] in filters["types"]
        case "push" if filters is not None:
            return event.ref.removeprefix("refs/heads/") in filters["branches"]
        case "workflow_dispatch":
            return bool(event.payload["workflow"] == f".github/workflows/{name}")
        case "schedule":
            return event.payload["schedule"] in [entry["cron"] for entry in filters]
    if filters is not None:
        raise UnmodelledSyntaxError(f"filters of {event.name}: {filters}")
    return True


class WorkflowRunner:
    """One run of one workflow file and of all workflows that it calls."""

    def __init__(self, world: World, run: Run):
        self.world, self.run = world, run
        run.folder.mkdir(parents=True)
        self.payload = run.folder / "event.json"
        self.payload.write_text(json.dumps(run.event.payload))

    def run_workflow(self, file: WorkflowFile, granted: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
        """Run all jobs; return each job's entry in the `needs` context. `granted` is what a calling job may pass on."""
        if file.workflow.get("permissions") != {}:
            raise UnmodelledSyntaxError(f"{file.name} does not begin with no permissions")
        self.check_permissions(file, granted)
        if granted is None and "concurrency" in file.workflow:
            self.run.concurrency = _interpolate_values(file.workflow["concurrency"], self.build_contexts(file))
        done: dict[str, dict[str, Any]] = {}
        waiting = dict(file.workflow["jobs"])
        while waiting:
            ready = [name for name, job in waiting.items() if set(syntax.list_needed_jobs(job)) <= set(done)]
            if not ready:
                raise UnmodelledSyntaxError(f"{file.name}: jobs that wait for each other")
            name = ready[0]
            done[name] = self.run_job(file, name, waiting.pop(name), done)
        return done

    def check_permissions(self, file: WorkflowFile, granted: dict[str, str] | None) -> None:
        """Refuse a run in which a called workflow asks for more permissions than its caller has, as GitHub does."""
        for name, job in file.workflow["jobs"].items():
            if "permissions" not in job:
                raise UnmodelledSyntaxError(f"{file.name}: the job {name} does not say what it needs")
            for permission, level in job["permissions"].items():
                if granted is not None and LEVELS.index(level) > LEVELS.index(granted.get(permission, "none")):
                    raise ActionFailed(f"the nested job {name} asks for {permission}: {level}")
            if "uses" in job:
                self.check_permissions(self.find_called_workflow(file, job["uses"]), job["permissions"])

    def find_called_workflow(self, file: WorkflowFile, uses: str) -> WorkflowFile:
        """Return the workflow that a job calls, from a repository at a ref or from the calling file's own commit."""
        if uses.startswith("$/"):
            repository, ref, path = file.repository, file.sha, uses[2:]
        else:
            place, _, ref = uses.partition("@")
            owner, name, path = place.split("/", 2)
            repository = f"{owner}/{name}"
        sha, tree = self.world.repositories[repository].resolve(ref)
        return WorkflowFile(repository, sha, Path(path).name, syntax.parse_workflow((tree / path).read_text("utf-8")))

    def run_job(self, file: WorkflowFile, name: str, job: dict[str, Any], done: dict[str, Any]) -> dict[str, Any]:
        """Run a job in all cells of its matrix; return its entry in other jobs' `needs`."""
        before = {need: done[need] for need in syntax.list_needed_jobs(job)}
        contexts = self.build_contexts(file) | {"needs": Context("needs", before)}
        succeeded = all(need["result"] == "success" for need in before.values())
        if not evaluate_condition(str(job.get("if", "true")), contexts, succeeded=succeeded, cancelled=False):
            self.run.jobs.append(JobRun(file.name, name, "skipped"))
            return {"result": "skipped", "outputs": {}}
        if "uses" in job:
            called = self.find_called_workflow(file, job["uses"])
            inner = self.run_workflow(called, job["permissions"])
            failed = any(one["result"] == "failure" for one in inner.values())
            self.run.jobs.append(JobRun(file.name, name, "failure" if failed else "success"))
            return {"result": self.run.jobs[-1].result, "outputs": {}}
        cells = [self.run_cell(file, name, job, contexts | {"matrix": cell}) for cell in _expand_matrix(job, contexts)]
        self.run.jobs += cells
        failed = any(cell.result == "failure" for cell in cells)
        return {"result": "failure" if failed else "success", "outputs": Context("outputs", cells[-1].outputs)}

    def run_cell(self, file: WorkflowFile, name: str, job: dict[str, Any], contexts: dict[str, Any]) -> JobRun:
        """Run the steps of one cell in its own workspace."""
        permissions = dict(job["permissions"])
        if self.run.event.from_fork:
            permissions = {what: "read" for what, level in permissions.items() if level != "none"}
        minutes = interpolate_value(job["timeout-minutes"], contexts)
        system = interpolate_value(job["runs-on"], contexts)
        if type(minutes) is not int or system not in ("ubuntu-24.04", "ubuntu-24.04-arm", "macos-15"):
            raise UnmodelledSyntaxError(f"{file.name}: {name} runs on {system} for {minutes!r} minutes")
        token = self.world.create_token(self.run.event.repository, permissions)
        found = JobRun(file.name, name, "success", permissions=permissions)
        found.concurrency = _interpolate_values(job.get("concurrency", {}), contexts)
        workspace = self.run.folder / f"{name}-{len(self.run.jobs)}-{len(self.run.steps)}"
        workspace.mkdir()
        steps: dict[str, Any] = {}
        for step in job["steps"]:
            github = Context("github", contexts["github"] | {"token": token})
            here = contexts | {"github": github, "steps": Context("steps", steps)}
            if not evaluate_condition(
                str(step.get("if", "true")), here, succeeded=found.result == "success", cancelled=False
            ):
                continue
            took = StepRun(file.name, name, step.get("name", step.get("uses", "")))
            self.run.steps.append(took)
            outputs = self.run_step(took, step, here, workspace, token)
            if took.code:
                found.result = "failure"
            if "id" in step:
                steps[step["id"]] = {"outputs": Context(f"outputs of {step['id']}", outputs)}
        if found.result == "success":
            here = contexts | {"steps": Context("steps", steps)}
            found.outputs = {key: format_value(interpolate_value(v, here)) for key, v in job.get("outputs", {}).items()}
        del self.world.tokens[token]  # a token ends with its job
        return found

    def run_step(
        self, took: StepRun, step: dict[str, Any], contexts: dict[str, Any], workspace: Path, token: str
    ) -> dict[str, str]:
        """Run one step, and return its outputs."""
        if "uses" in step:
            took.action, _, _ = step["uses"].partition("@")
            place = ActionContext(self.world, self.run, self.run.event, workspace, self.world.tokens[token])
            try:
                ACTIONS[took.action](place, _interpolate_values(step.get("with", {}), contexts))
            except ActionFailed as error:
                took.code, took.output = 1, str(error)
            return {}
        return self.run_command(took, step, contexts, workspace)

    def run_command(
        self, took: StepRun, step: dict[str, Any], contexts: dict[str, Any], workspace: Path
    ) -> dict[str, str]:
        """Run a shell as GitHub does, and return the outputs of the command."""
        files = {
            name: workspace / f".{name}-{len(self.run.steps)}" for name in ("OUTPUT", "STEP_SUMMARY", "ENV", "PATH")
        }
        for file in files.values():
            file.touch()
        took.command = step["run"]
        took.environ = {
            key: format_value(value) for key, value in _interpolate_values(step.get("env", {}), contexts).items()
        }
        environ = self.build_environment(workspace) | {f"GITHUB_{name}": str(file) for name, file in files.items()}
        script = workspace / f".step-{len(self.run.steps)}.sh"
        script.write_text(step["run"])
        started = time.monotonic()
        ran = subprocess.run(  # what GitHub runs when no shell is named
            ["bash", "-e", str(script)],  # noqa: S607 - the one on PATH, as there
            cwd=workspace / step.get("working-directory", "."),
            env=self.world.environ | environ | took.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SLOWEST,
            check=False,
        )
        took.code, took.output, took.seconds = ran.returncode, ran.stdout, time.monotonic() - started
        self.run.summary += files["STEP_SUMMARY"].read_text()
        if files["ENV"].stat().st_size or files["PATH"].stat().st_size:
            raise UnmodelledSyntaxError(f"{took.name} changes the environment of the steps after it")
        return dict(_parse_outputs(files["OUTPUT"].read_text()))

    def build_contexts(self, file: WorkflowFile) -> dict[str, Any]:
        """Return the contexts for expressions in a file; the token is added where steps run."""
        event = self.run.event
        github = {
            "event": event.payload,
            "event_name": event.name,
            "repository": event.repository,
            "ref": event.ref,
            "sha": event.sha,
            "run_id": event.run_id,
        }
        job = {"workflow_repository": file.repository, "workflow_sha": file.sha}
        secrets = Context("secrets", self.world.secrets)
        return {"github": Context("github", github), "job": Context("job", job), "secrets": secrets}

    def build_environment(self, workspace: Path) -> dict[str, str]:
        """Return the environment of every step. It has no token; steps that need one receive it explicitly."""
        event = self.run.event
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": event.actor,
            "GITHUB_API_URL": self.world.api_url,
            "GITHUB_EVENT_NAME": event.name,
            "GITHUB_EVENT_PATH": str(self.payload),
            "GITHUB_REF": event.ref,
            "GITHUB_REF_NAME": event.ref.partition("/")[2].partition("/")[2],
            "GITHUB_REPOSITORY": event.repository,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": str(event.run_id),
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_SHA": event.sha,
            "GITHUB_WORKFLOW_REF": f"{event.repository}/.github/workflows/{self.run.workflow}@{event.ref}",
            "GITHUB_WORKSPACE": str(workspace),
        }


def _expand_matrix(job: dict[str, Any], contexts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells: those that `include` lists, or one without values."""
    if "strategy" not in job:
        return [{}]
    matrix = interpolate_value(job["strategy"]["matrix"], contexts)
    if set(matrix) != {"include"} or job["strategy"].get("fail-fast") is not False or not matrix["include"]:
        raise UnmodelledSyntaxError(f"the matrix {matrix}")
    return [Context("matrix", cell) for cell in matrix["include"]]


def _interpolate_values(values: dict[str, Any], contexts: dict[str, Any]) -> dict[str, Any]:
    """Fill in the expressions in every value."""
    return {key: interpolate_value(value, contexts) for key, value in values.items()}


def _parse_outputs(text: str) -> Iterator[tuple[str, str]]:
    """Parse what a step wrote to GITHUB_OUTPUT, between delimiters."""
    lines = text.split("\n")
    while lines and lines[0]:
        name, sign, delimiter = lines.pop(0).partition("<<")
        if not sign:
            raise UnmodelledSyntaxError(f"an output without delimiters: {name}")
        end = lines.index(delimiter)
        yield name, "\n".join(lines[:end])
        lines = lines[end + 1 :]
