"""A class on GitHub: the released course in its own repository, Ada's repository made from it, and Eve's fork."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.github import about, artifacts, conversation  # noqa: F401 - `about` declares its route
from tests.github.local import Hub
from tests.workflows.gate import Gate, open_gate
from tests.workflows.machine import build_runner_environment
from tests.workflows.runner import run_triggered_workflows
from tests.workflows.world import Event, Repository, Run, World

TEMPLATE, REF = "class/tinytorch", "v1"
ADA, EVE = "class/ada", "eve/ada"
BRANCH = "work;$(touch${IFS}owned)`touch${IFS}owned`"
"""What a pull request's branch is called: git allows it, and a shell that reads it leaves a trace."""
TENSOR, RECIPE = Path("modules/02_tensor/tinytorch/tensor.py"), Path("modules/04_layers/recipe.py")


def copy_course_with_grader(root: Path, target: Path) -> Path:
    """Copy the course, with a manifest that states where its releases grade; everything else is a link."""
    target.mkdir()
    for path in root.iterdir():
        if path.name not in ("milestones.yaml", ".git", ".nox"):
            (target / path.name).symlink_to(path)
    text = (root / "milestones.yaml").read_text(encoding="utf-8")
    said = f"course:\n  name: TinyTorch\n  grader: {{repository: {TEMPLATE}, ref: {REF}}}\n"
    assert text.count("course:\n  name: TinyTorch\n") == 1
    (target / "milestones.yaml").write_text(text.replace("course:\n  name: TinyTorch\n", said), encoding="utf-8")
    return target


@dataclass
class School:
    """The class and its copy of GitHub, with the events that happen there."""

    world: World
    hub: Hub
    gate: Gate
    folder: Path
    calls: Path
    """What the stubs noted."""
    runs: list[Run] = field(default_factory=list)
    _number: int = 100

    def trigger_event(self, name: str, tree: Path, *, fork: bool = False, **payload: Any) -> dict[str, Run]:
        """Trigger an event in Ada's repository at this tree; return the runs that follow, by file."""
        home = {"full_name": ADA, "default_branch": "main", "private": self.world.repositories[ADA].private}
        self._number += 1
        ref, said = "refs/heads/main", {"repository": home, **payload}
        source = EVE if fork else ADA
        sha = self.world.repositories[source].commit(tree, None if name == "pull_request" else "main")
        if name == "pull_request":
            ref, head = "refs/pull/7/merge", {"sha": sha, "ref": BRANCH, "repo": {"full_name": source}}
            said["pull_request"] = {"number": 7, "head": head}
            self.world.repositories[ADA].commits[sha] = tree  # what is proposed can be fetched from both
            repository = self.hub.repository(ADA)
            repository.pulls.clear()
            conversation.add_pull(self.hub, repository, 7, head=source, branch=BRANCH, sha=sha)
            sha = self.world.repositories[ADA].commit(tree)  # the merge, which nobody grades
        return self.run_event(Event(name, ADA, sha, ref, said, self._number))

    def report_run_end(self, run: Run) -> dict[str, Run]:
        """Report that a run has ended, and return the runs that this triggers on the default branch, by file."""
        head = run.event.payload["pull_request"]["head"]
        payload = {
            "action": "completed",
            "repository": run.event.payload["repository"],
            "workflow_run": {
                "id": run.event.run_id,
                "run_attempt": 1,
                "name": "Autograde",
                "event": run.event.name,
                "conclusion": "success",
                "head_sha": head["sha"],
                "head_branch": head["ref"],
                "head_repository": head["repo"],
            },
        }
        self._number += 1
        sha = self.world.repositories[ADA].refs["main"]
        return self.run_event(Event("workflow_run", ADA, sha, "refs/heads/main", payload, self._number))

    def run_event(self, event: Event) -> dict[str, Run]:
        """Run the workflows that an event triggers; return the runs by file."""
        runs = run_triggered_workflows(self.world, event, self.folder / f"run-{event.run_id}")
        self.runs += runs.values()
        return runs


@contextmanager
def open_school(hub: Hub, released: Path, environments: Path, folder: Path) -> Iterator[School]:
    """Open the class on its first day, when only the release has been pushed."""
    hub.clear()
    hub.repository(ADA)
    environ, calls = build_runner_environment(folder)
    repositories = {TEMPLATE: Repository(), ADA: Repository(), EVE: Repository()}
    repositories[TEMPLATE].commit(released, REF)
    repositories[ADA].commit(released, "main")

    def uploaded(repository: str, run: int, name: str, archive: bytes) -> None:
        artifacts.add_artifact(hub, hub.repository(repository), run, name, archive)

    world = World(repositories, environ, environments, "", uploaded)
    with open_gate(hub.public_url, "actions", world.tokens) as gate:
        world.api_url = gate.url
        yield School(world, hub, gate, folder, calls)
