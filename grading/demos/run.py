"""One demonstration, played for a person: the student's network in a worker, its frames on a screen."""

from __future__ import annotations

import tempfile
from pathlib import Path

from grading.checks.network import RecipeError, in_words
from grading.demos import DEMOS
from grading.grade import built_milestone
from grading.manifest.load import load
from grading.remote import RemoteError, WorkerFailureError
from grading.render.screen import Screen
from grading.result import Failure
from grading.sandbox.launch import choose
from grading.submission import take
from grading.workers import start_worker


def run_demo(root: Path, number: int, *, screen: Screen, seed: int) -> Failure | None:
    """Play milestone ``number``'s demonstration with the code at ``root``; what stopped it, or None at its end."""
    manifest = load(root)
    milestone = built_milestone(manifest, number)
    modules = manifest.modules_for(milestone)
    with tempfile.TemporaryDirectory(prefix="tinytorch-submission-") as folder:
        submission = take(root, manifest, modules, milestone, Path(folder))
        with start_worker(submission, modules, milestone.budget, choose(official=False)) as worker:
            try:
                DEMOS[number](worker, screen, milestone, seed)
            except (RemoteError, WorkerFailureError, RecipeError) as error:
                return Failure(title="The demonstration runs to its end", **in_words(error))
    return None
