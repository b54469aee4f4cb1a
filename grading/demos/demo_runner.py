"""Play one demonstration for a person, on a screen or on a page, with the student's network in a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from grading.checks.student_network import RecipeError, convert_error_to_failure_fields
from grading.client import Worker
from grading.demos import DEMOS
from grading.grade import find_built_milestone
from grading.manifest.loader import load_manifest
from grading.manifest.model import Milestone
from grading.remote import RemoteError, WorkerFailureError
from grading.render.screen import Screen
from grading.result import Failure
from grading.sandbox.folders import create_temporary_folder
from grading.sandbox.launch import choose_fence
from grading.submission import copy_submission
from grading.workers import start_worker


def run_demo(root: Path, milestone_id: int, *, screen: Screen, seed: int) -> Failure | None:
    """Play a milestone's demonstration with the code at ``root``. Return the failure that stopped it, if any."""
    with _start_demo_worker(root, milestone_id) as (milestone, worker):
        try:
            DEMOS[milestone_id](worker, screen, milestone, seed)
        except (RemoteError, WorkerFailureError, RecipeError) as error:
            return Failure(title="The demonstration runs to its end", **convert_error_to_failure_fields(error))
    return None


def serve_demo(root: Path, milestone_id: int, *, console: Console, seed: int, browser: bool) -> bool:
    """Serve a demonstration's page until interrupted. Return whether student code ran without a failure.

    ``milestone_id`` must be one of grading.demos.PAGE_MILESTONES.
    """
    # These import the server, which nothing else needs.
    from grading.demos.web.network_page import serve_page
    from grading.demos.web.page_classes import PAGE_CLASSES

    with _start_demo_worker(root, milestone_id) as (milestone, worker):
        return serve_page(PAGE_CLASSES[milestone_id], worker, milestone, seed, console, browser=browser)


@contextlib.contextmanager
def _start_demo_worker(root: Path, milestone_id: int) -> Iterator[tuple[Milestone, Worker]]:
    """Start a worker with the code at ``root`` up to a milestone, and yield both."""
    manifest = load_manifest(root)
    milestone = find_built_milestone(manifest, milestone_id)
    modules = manifest.list_modules_up_to(milestone)
    with create_temporary_folder("tinytorch-submission-") as folder:
        submission = copy_submission(root, manifest, modules, milestone, folder)
        with start_worker(submission, modules, milestone.budget, choose_fence(official=False)) as worker:
            yield milestone, worker
