"""Measure reliability, which is the share of headless demonstration runs with different seeds that finish."""

from __future__ import annotations

from grading.checks.student_network import RecipeError, convert_error_to_failure_fields
from grading.demos import DEMOS
from grading.measurement import CheckContext, Measurement
from grading.remote import RemoteError, WorkerFailureError
from grading.render.screen import RecordingScreen
from grading.result import Failure


def measure_demo_reliability(context: CheckContext) -> Measurement:
    """Play the milestone's demonstration without a screen, and measure the share of runs that finish."""
    assert context.milestone is not None
    assert context.milestone.experiment is not None
    play = DEMOS[context.milestone.id]
    seeds = context.derive_seeds("demo", context.milestone.experiment.demo_runs)
    failures: list[Failure] = []
    context.watch.begin_phase("Running the demonstration without a screen", len(seeds))
    for done, (seed, worker) in enumerate(zip(seeds, context.start_workers(len(seeds)), strict=True)):
        try:
            play(worker, RecordingScreen(), context.milestone, seed)
        except (RemoteError, WorkerFailureError, RecipeError) as error:
            failures.append(
                Failure(
                    title=f"The demonstration runs to its end (seed {seed})",
                    hint=f"See it run: tito milestone demo {context.milestone.id} --seed {seed}",
                    **convert_error_to_failure_fields(error),
                )
            )
        finally:
            worker.close()
        context.watch.report_steps_done(done + 1)
    return Measurement(
        {"completed": (len(seeds) - len(failures)) / len(seeds)},
        {"completed": tuple(failures)},
        how=f"{len(seeds)} headless runs, seeds {', '.join(map(str, seeds))}",
    )
