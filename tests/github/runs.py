"""A workflow run in the fake GitHub: its event, its plan and the records that its jobs have left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grading.criteria import copy_repeated_criterion_fields, list_criteria
from grading.github.plan import GradingJob, GradingPlan, ReusedResult
from grading.manifest.loader import load_manifest
from grading.manifest.model import Criterion
from grading.render.record import encode_result
from grading.result import CriterionResult, CriterionStatus, Failure, Result
from tests.github.artifacts import add_artifact, build_zip
from tests.github.local import Hub, Repository
from tests.render.results import build_failure, build_not_yet, build_result

MANIFEST = load_manifest(Path(__file__).resolve().parents[2])
REPOSITORY, COMMIT, RUN = "class/alice", "a1b2c3d4e5" * 4, 7001


def set_commit(record: Result, commit: str | None = COMMIT) -> Result:
    """Return the record as if made for this commit."""
    return record.model_copy(update={"submission": record.submission.model_copy(update={"commit": commit})})


def build_met_criterion(criterion: Criterion) -> CriterionResult:
    """Build the criterion's result when its figure is exactly at the threshold."""
    return CriterionResult(
        status=CriterionStatus.PASSED, measured=criterion.threshold, **copy_repeated_criterion_fields(criterion)
    )


def build_unlocked(**changes: Any) -> Result:
    """Build an unlocked milestone, the first by default."""
    milestone = MANIFEST.milestone(changes.get("milestone", 1))
    named = {"milestone": milestone.id, "name": milestone.name, "medal": milestone.medal}
    again = f"nox -s milestone-{milestone.id} -- --seed {changes.get('seed', 42)}"
    criteria = tuple(map(build_met_criterion, list_criteria(MANIFEST, milestone.id)))
    return set_commit(build_result(**{**named, "reproduce": again, "criteria": criteria, **changes}))


def build_failing(**changes: Any) -> Result:
    """Build a result of module 02 that is not yet passed."""
    source, imports, tests = map(build_met_criterion, list_criteria(MANIFEST, None))
    failures = (build_failure(), build_failure(task="3.1", title="ReLU keeps positive numbers"))
    failed = tests.model_copy(update={"status": CriterionStatus.FAILED, "measured": 0.9, "failures": failures})
    fields = {
        "milestone": None,
        "module": "02_tensor",
        "name": "Tensor",
        "medal": None,
        "criteria": (source, imports, failed),
    }
    return set_commit(build_not_yet(**{**fields, "reproduce": "nox -s module-02_tensor -- --seed 42", **changes}))


def build_failures(count: int) -> tuple[Failure, ...]:
    """Build this number of failures, each on its own line."""
    file = "modules/02_tensor/tinytorch/tensor.py"
    return tuple(Failure(title=f"Fact {n}", got=str(n), file=file, line=n + 1) for n in range(count))


@dataclass
class Runs:
    """The starting point of the report's tests."""

    hub: Hub
    folder: Path
    environ: dict[str, str]

    @property
    def repository(self) -> Repository:
        """The student's repository."""
        return self.hub.repository(REPOSITORY)

    def write_event(self, name: str, payload: dict[str, Any], **variables: str) -> dict[str, str]:
        """Write an event and return a job's environment for it."""
        path = self.folder / f"{name}.json"
        about = {"repository": {"full_name": REPOSITORY, "default_branch": "main"}}
        path.write_text(json.dumps({**about, **payload}), encoding="utf-8")
        return {
            **self.environ,
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_ACTOR": "alice",
            "GITHUB_SHA": COMMIT,
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_RUN_ID": str(RUN),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            **variables,
        }

    def write_pull_request_event(self, *, run: int = RUN, commit: str = COMMIT, attempt: int = 1) -> dict[str, str]:
        """Write the event of a run on pull request 7, from the repository itself, and return its environment."""
        head = {"sha": commit, "ref": "my-work", "repo": {"full_name": REPOSITORY}}
        payload = {"pull_request": {"number": 7, "head": head}}
        variables = {"GITHUB_RUN_ID": str(run), "GITHUB_RUN_ATTEMPT": str(attempt)}
        return self.write_event("pull_request", payload, GITHUB_REF="refs/pull/7/merge", **variables)

    def upload_plan(
        self, *sessions: str, run: int = RUN, reused: tuple[ReusedResult, ...] = (), skipped: tuple[str, ...] = ()
    ) -> None:
        """Upload a plan of these sessions."""
        made = GradingPlan(tuple(GradingJob(session, session, 10) for session in sessions), reused, skipped)
        archive = build_zip({"plan.json": made.to_json().encode()})
        add_artifact(self.hub, self.repository, run, "tinytorch-plan", archive)

    def upload_records(self, *records: Result, run: int = RUN, plan: bool = True) -> None:
        """Upload these records and, by default, a plan of their sessions."""
        if plan:
            self.upload_plan(*(record.session for record in records), run=run)
        for record in records:
            archive = build_zip({"result.json": encode_result(record).encode()})
            add_artifact(self.hub, self.repository, run, f"tinytorch-{record.session}", archive)

    @property
    def bodies(self) -> list[str]:
        """The comments under pull request 7."""
        return [c["body"] for c in self.repository.comments if c["issue_url"].endswith("/7")]

    @property
    def summary(self) -> str:
        """The run's summary."""
        return (self.folder / "summary.md").read_text(encoding="utf-8")


def build_reused(session: str, title: str, verdict: str = "unlocked") -> ReusedResult:
    """Build a result that is reused from its record."""
    return ReusedResult(session, title, verdict, datetime(2026, 2, 1, 9, 0, tzinfo=UTC))
