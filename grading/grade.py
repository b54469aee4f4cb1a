"""Grade a milestone or a module: from manifest and submission through the checks to one result."""

from __future__ import annotations

import hashlib
import importlib
import re
import secrets
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from grading import cache
from grading.client import Worker
from grading.criteria import copy_repeated_criterion_fields, list_criteria
from grading.data.load import describe_data_identity, fetch_if_missing
from grading.dependencies import (
    GRADER_SUFFIXES,
    NEVER_KEPT,
    Dependencies,
    collect_dependencies,
    digest_files,
    list_grader_source_files,
    list_test_files,
)
from grading.errors import GraderError, UsageError
from grading.lock import find_changed_course_files
from grading.machine import build_machine_record
from grading.manifest.loader import load_manifest
from grading.manifest.model import Budget, BuildStatus, Criterion, CriterionKind, Manifest, Milestone, Module
from grading.measurement import CheckContext, Measurement, WorkerLog
from grading.memory import limit_memory
from grading.quiz.safe_yaml import InvalidFileError
from grading.quiz.student_id import read_student_id
from grading.remote import WorkerClosedError, WorkerFailureError
from grading.render.progress_watch import ProgressWatch, SilentWatch
from grading.result import CourseRecord, CriterionResult, CriterionStatus, Result, Timing, decide_verdict
from grading.sandbox.folders import create_temporary_folder
from grading.sandbox.launch import choose_fence
from grading.submission import Submission, copy_module_code, copy_submission
from grading.workers import start_worker

if TYPE_CHECKING:
    from grading.testing.runner import TestOutcome


def _make_lazy_check(module: str, name: str) -> Callable[[CheckContext], Measurement]:
    """Make a check that is imported only when it first measures something, because cached figures need no imports."""

    def import_and_measure(context: CheckContext) -> Measurement:
        """Import the check and run it."""
        found: Callable[[CheckContext], Measurement] = getattr(importlib.import_module(module), name)
        return found(context)

    return import_and_measure


CHECKS = {
    "source": _make_lazy_check("grading.checks.usable_source", "count_unusable_files"),
    "imports": _make_lazy_check("grading.checks.allowed_imports", "count_import_violations"),
    "module_tests": _make_lazy_check("grading.checks.student_tests", "run_module_tests"),
    "integration_tests": _make_lazy_check("grading.checks.student_tests", "run_integration_tests"),
    "xor": _make_lazy_check("grading.checks.xor_training", "measure_xor"),
    "mnist": _make_lazy_check("grading.checks.mnist_accuracy", "measure_mnist"),
    "cifar10_convergence": _make_lazy_check("grading.checks.cifar10_convergence", "measure_cifar10_convergence"),
    "cifar10_kernels": _make_lazy_check("grading.checks.cifar10_kernels", "measure_cifar10_kernels"),
    "kernel_speed": _make_lazy_check("grading.checks.kernel_speed", "measure_kernel_speed"),
    "language": _make_lazy_check("grading.checks.text_generation", "measure_language"),
    "demo": _make_lazy_check("grading.demos.demo_reliability", "measure_demo_reliability"),
    "quiz": _make_lazy_check("grading.checks.quiz_answers", "measure_quiz"),
}
MOST_FAILURES = 40
"""The maximum number of failures recorded for one criterion. Thousands of the same kind would not help anyone."""
PRINTED = 64 << 10
"""The number of characters of student output in a record, from all workers together."""
CHECK_HEADROOM = 4 << 30
"""The memory in bytes that a check may use, including its data sets."""
MODULE_BUDGET = Budget(wall_seconds=180, call_seconds=10, train_seconds=10, memory_mb=2048)


@dataclass(frozen=True)
class GradingSetup:
    """The part of a grading run that does not change between saves and is therefore determined only once."""

    manifest: Manifest
    sandbox: str
    course: CourseRecord
    start: Callable[[Submission, tuple[Module, ...], Budget, str], Worker] = start_worker
    """The function that starts a worker, or returns one that was started in advance."""


@dataclass(frozen=True)
class GradingRequest:
    """A grading request: what to grade and how."""

    root: Path
    submission: Path
    seed: int | None
    official: bool
    student: str | None
    again: bool
    commit: str | None = None
    is_enough: Callable[[TestOutcome], bool] = lambda _: False


def grade_milestone(
    root: Path,
    number: int,
    *,
    submission: Path | None = None,
    seed: int | None = None,
    official: bool = False,
    student: str | None = None,
    again: bool = False,
    commit: str | None = None,
    watch: ProgressWatch | None = None,
) -> Result:
    """Grade one milestone for the repository at ``root``, or for another tree, ``submission``. Return the record.

    A check's cached figures are used if nothing that they depend on has changed, unless ``again`` is set, the grading
    run is official, or a different ``seed`` is given. ``commit`` is the commit of the tree, for the record. May raise
    ManifestError, UsageError or GraderError.
    """
    manifest = load_manifest(root)
    milestone = find_built_milestone(manifest, number)
    request = GradingRequest(root, submission or root, seed, official, student, again, _require_full_hash(commit))
    prepared = prepare_grading(root, manifest, official=official)
    return _grade_submission(
        request, prepared, manifest.list_modules_up_to(milestone), milestone, watch or SilentWatch()
    )


def grade_module(
    root: Path,
    module_id: str,
    *,
    submission: Path | None = None,
    task: str | None = None,
    seed: int | None = None,
    commit: str | None = None,
    watch: ProgressWatch | None = None,
    prepared: GradingSetup | None = None,
    is_enough: Callable[[TestOutcome], bool] = lambda _: False,
) -> Result:
    """Audit one module and run its tests, or only one task's, in a worker. Raise UsageError if it does not exist.

    Pass ``prepared`` to avoid repeating the preparation. The tests stop after the first outcome for which ``is_enough``
    returns True.
    """
    manifest = prepared.manifest if prepared else load_manifest(root)
    try:
        module = manifest.module(module_id)
    except KeyError:
        raise UsageError(f"There is no module {module_id}. `tito module list` shows all of them.") from None
    if module.status is BuildStatus.PLANNED:
        raise UsageError(f"Module {module_id} is planned but not built yet, so it cannot be tested.")
    request = GradingRequest(
        root,
        submission or root,
        seed,
        official=False,
        student=None,
        again=True,
        commit=_require_full_hash(commit),
        is_enough=is_enough,
    )
    if task is not None:
        known = [one.id for one in module.tasks]
        task = next((one for one in known if one in (task, f"{module.number}.{task}")), None)
        if task is None:
            raise UsageError(f"Module {module_id} has no such task. Its tasks are {', '.join(known)}.")
    return _grade_submission(
        request, prepared or prepare_grading(root, manifest), (module,), None, watch or SilentWatch(), task
    )


def list_built_modules_up_to(manifest: Manifest, last: Module) -> tuple[Module, ...]:
    """List the built modules up to this one: all except those that are only planned.

    The module's worker sees them, and its tests may use them.
    """
    return tuple(m for m in manifest.modules if m.number <= last.number and m.status is BuildStatus.BUILT)


def prepare_grading(root: Path, manifest: Manifest, *, official: bool = False) -> GradingSetup:
    """Choose the sandbox and read the course at ``root``; raise GraderError if this machine cannot grade."""
    return GradingSetup(manifest, choose_fence(official=official), build_course_record(root, manifest))


def find_built_milestone(manifest: Manifest, number: int) -> Milestone:
    """Find the milestone with this number; raise UsageError if there is none or it is only planned."""
    try:
        milestone = manifest.milestone(number)
    except KeyError:
        raise UsageError(
            f"There is no milestone {number}. Milestones are numbered 1 to {len(manifest.milestones)}."
        ) from None
    if milestone.status is BuildStatus.PLANNED:
        raise UsageError(f"Milestone {number}, {milestone.name}, is planned but not built yet, so it cannot be graded.")
    return milestone


def _grade_submission(
    request: GradingRequest,
    prepared: GradingSetup,
    modules: tuple[Module, ...],
    milestone: Milestone | None,
    watch: ProgressWatch,
    task: str | None = None,
) -> Result:
    """Copy the submission, judge its criteria from new or cached figures, and build the result record."""
    started, clock = datetime.now(UTC), time.monotonic()
    _require_test_files(request.root, modules, milestone)
    manifest, sandbox, course = prepared.manifest, prepared.sandbox, prepared.course
    on_path = list_built_modules_up_to(manifest, modules[-1])
    budget = milestone.budget if milestone else MODULE_BUDGET
    with create_temporary_folder("tinytorch-submission-") as folder:
        handed_in = copy_submission(request.submission, manifest, on_path, milestone, folder)
        student = request.student or _read_student_id(handed_in)
        key = _compute_verdict_key(handed_in, course, modules, milestone, student, sandbox)
        criteria = list_criteria(manifest, milestone.id if milestone else None)
        dependencies, kept = None, {}
        if milestone is not None and not request.official:
            dependencies = collect_dependencies(request.root, manifest, milestone, handed_in, sandbox)
            kept = {} if request.again else _find_kept_figures(dependencies, criteria, watch)
        log = WorkerLog()

        def start(last: int | None = None) -> Worker:
            """Start a worker with the modules of the path, or with those up to module number `last`."""
            modules, visible = on_path, handed_in
            if last is not None:
                modules = tuple(m for m in on_path if m.number <= last)
                visible = copy_module_code(handed_in, modules, folder / f"up-to-{last}")
            log.workers.append(prepared.start(visible, modules, budget, sandbox))
            return log.workers[-1]

        # A report has a single seed: the given seed, or the one that most cached figures share.
        common = Counter(one.seed for one in kept.values()).most_common(1)
        seed = common[0][0] if common else secrets.randbelow(1 << 31)
        seed = seed if request.seed is None else request.seed
        context = CheckContext(
            root=request.root,
            manifest=manifest,
            modules=modules,
            milestone=milestone,
            submission=handed_in,
            start=start,
            budget=budget,
            seed=seed,
            official=request.official,
            student=student,
            watch=watch,
            log=log,
            task=task,
            is_enough=request.is_enough,
        )
        memory = FigureStore(dependencies, {check: one for check, one in kept.items() if one.seed == seed}, started)
        judged, measured = _judge_criteria(context, criteria, memory)
    total = time.monotonic() - clock
    data = tuple(m.data for m in measured if m.data is not None)
    reasons = tuple(f"{d.name} was used instead of {d.stand_in_for}" for d in data if d.stand_in_for is not None)
    if request.official and request.student is None and student is not None:
        reasons += ("only the submission's own student.yaml identifies the student: pass --student ID",)
    if course.changed:
        reasons += (f"course files differ from the release: {', '.join(course.changed[:3])}",)
    return Result(
        milestone=milestone.id if milestone else None,
        module=None if milestone else modules[-1].id,
        name=milestone.name if milestone else f"{modules[-1].title}{f', only task {task}' if task else ''}",
        medal=milestone.medal if milestone else None,
        verdict=decide_verdict(judged, reasons),
        provisional_because=reasons,
        criteria=judged,
        seed=seed,
        official=request.official,
        started_at=started,
        key=key,
        reproduce=f"nox -s {f'milestone-{milestone.id}' if milestone else f'module-{modules[-1].id}'} -- --seed {seed}",
        submission=handed_in.record.model_copy(update={"student": student, "commit": request.commit}),
        course=course,
        data=data,
        machine=build_machine_record(sandbox),
        curves=tuple(curve for m in measured for curve in m.curves),
        pictures=tuple(picture for m in measured for picture in m.pictures),
        writings=tuple(writing for m in measured for writing in m.writings),
        named_images=tuple(image for m in measured for image in m.named_images),
        student_output=log.join_worker_output(PRINTED),
        timing=Timing(
            total=round(total, 3),
            student=round(log.student_seconds, 3),
            grader=round(total - log.student_seconds, 3),
            training=tuple(round(seconds, 3) for m in measured for seconds in m.training_seconds),
        ),
    )


def _require_test_files(root: Path, modules: Iterable[Module], milestone: Milestone | None) -> None:
    """Raise UsageError if one of the course's test files is missing."""
    tests = [module.tests for module in modules] + ([milestone.integration_tests] if milestone else [])
    missing = " ".join(path.as_posix() for path in tests if not (root / path).is_file())
    if missing:
        raise UsageError(f"These course tests are missing: {missing}. Restore them: git checkout -- {missing}")


def _find_kept_figures(
    dependencies: Dependencies, criteria: Iterable[Criterion], watch: ProgressWatch
) -> dict[str, cache.KeptFigures]:
    """Map checks to their cached figures. Drop figures of stand-in data if the real data can now be downloaded.

    The checks are in the criteria's order. The download happens here.
    """
    figures: dict[str, list[str]] = {}
    for criterion in criteria:
        figures.setdefault(criterion.check, []).append(criterion.figure)
    kept = {}
    for check, names in figures.items():
        found = None
        if check not in NEVER_KEPT:
            found = cache.load_cached_measurement(dependencies.compute_cache_key(check, CHECKS[check]), names)
        data = found.measured.data if found else None
        stands_in = data is not None and data.stand_in_for is not None
        if found is not None and not (stands_in and fetch_if_missing(str(dependencies.milestone.data), watch)):
            kept[check] = found
    return kept


@dataclass(frozen=True)
class FigureStore:
    """The cached figures that a run uses, and the keys under which it caches its own figures."""

    dependencies: Dependencies | None
    """Everything that the figures depend on, or None if no figures are cached."""
    kept: Mapping[str, cache.KeptFigures]
    began: datetime

    def save_check_figures(self, check: str, measured: Measurement, context: CheckContext, printed: str) -> None:
        """Cache a check's figures on disk. Do nothing without dependencies or for a check in NEVER_KEPT.

        If the run is interrupted later, the figures need not be measured again.
        """
        if self.dependencies is not None and check not in NEVER_KEPT:
            key = self.dependencies.compute_cache_key(
                check, CHECKS[check]
            )  # computed late, since data may have been downloaded in the meantime
            cache.save_measurement(
                cache.KeptFigures(
                    key=key, seed=context.seed, measured_at=self.began, printed=printed[-PRINTED:], measured=measured
                )
            )


def _judge_criteria(
    context: CheckContext, criteria: Iterable[Criterion], memory: FigureStore
) -> tuple[tuple[CriterionResult, ...], list[Measurement]]:
    """Judge every criterion in order. After an error or a code quality failure, only understanding is still judged."""
    measured: dict[str, Measurement | GraderError] = {}
    judged: list[CriterionResult] = []
    stopped_by: Criterion | None = None
    for criterion in criteria:
        base = copy_repeated_criterion_fields(criterion)
        if stopped_by is not None and criterion.kind is not CriterionKind.UNDERSTANDING:
            why = f"Not attempted. First fix “{stopped_by.title}”."
            judged.append(CriterionResult(status=CriterionStatus.NOT_ATTEMPTED, explanation=why, **base))
            continue
        kept = memory.kept.get(criterion.check)
        if criterion.check not in measured:
            measured[criterion.check] = (
                _replay_kept_figures(kept, context)
                if kept
                else _measure_check_and_keep_figures(criterion.check, context, memory)
            )
        found = measured[criterion.check]
        if isinstance(found, GraderError):
            judged.append(CriterionResult(status=CriterionStatus.ERROR, explanation=str(found), **base))
            stopped_by = stopped_by or criterion
            continue
        figure = found.figures[criterion.figure]
        passed = figure is not None and criterion.is_met_by(figure)
        judged.append(
            CriterionResult(
                status=CriterionStatus.PASSED if passed else CriterionStatus.FAILED,
                measured=figure,
                measured_at=kept.measured_at if kept else None,
                how=found.rivals.get(criterion.figure, found.how),
                failures=() if passed else found.failures.get(criterion.figure, ())[:MOST_FAILURES],
                **base,
            )
        )
        if not passed and criterion.kind is CriterionKind.CODE_QUALITY:
            stopped_by = stopped_by or criterion
    return tuple(judged), [m for m in measured.values() if isinstance(m, Measurement)]


def _replay_kept_figures(kept: cache.KeptFigures, context: CheckContext) -> Measurement:
    """Return a check's cached figures, and log the output that student code printed when they were measured."""
    context.log.output.append(kept.printed)
    return kept.measured


def _measure_check_and_keep_figures(
    check: str, context: CheckContext, memory: FigureStore
) -> Measurement | GraderError:
    """Measure one check and cache its figures. If the grader or the machine fails, return the error.

    The figures of a check whose worker died are not cached, since the machine may have been short of memory or time.
    """
    before = len(context.log.output)
    try:
        with limit_memory(CHECK_HEADROOM):
            measured: Measurement | GraderError = CHECKS[check](context)
    except GraderError as error:
        measured = error
    except MemoryError as error:
        measured = GraderError(f"the grader ran out of memory in {check}: {error}")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        measured = GraderError(f"the grader failed in {check}: {error!r} ({Path(place.filename).name}:{place.lineno})")
    finally:
        failures = [worker.failure for worker in context.log.workers]
        context.log.close_workers()
    # If the machine stopped a worker, nothing has been measured, whatever the check returned.
    if broken := next((failure for failure in failures if isinstance(failure, GraderError)), None):
        return broken
    died = any(isinstance(one, WorkerFailureError) and not isinstance(one, WorkerClosedError) for one in failures)
    if isinstance(measured, Measurement) and not died:
        memory.save_check_figures(check, measured, context, "".join(context.log.output[before:]))
    return measured


def _require_full_hash(commit: str | None) -> str | None:
    """Return the commit if it is a full hash or None; otherwise raise UsageError."""
    if commit is not None and not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise UsageError(
            f"{commit!a:.60} is not a full commit hash. Give the 40 hexadecimal digits of `git rev-parse HEAD`."
        )
    return commit


def _read_student_id(submission: Submission) -> str | None:
    """Find the student's id in the submission. Return None if the file is damaged, which the quiz reports."""
    try:
        return read_student_id(submission.answers)
    except InvalidFileError:
        return None


def build_course_record(root: Path, manifest: Manifest) -> CourseRecord:
    """Build the record of the course at ``root``: its version and the digest of its manifest, tests and grader.

    The digest ignores deadlines, because no verdict depends on them and moving one must not regrade an entire class.
    """
    whole = hashlib.sha256(manifest.model_dump_json(exclude={"deadlines"}).encode())
    return CourseRecord(
        name=manifest.course.name,
        version=manifest.course.version,
        digest=digest_files(root, list_verdict_files(root), whole),
        changed=find_changed_course_files(root),
    )


def list_verdict_files(root: Path) -> list[Path]:
    """List the files that a verdict depends on besides the manifest: tests, reference values, the grader."""
    return list_test_files(root) + list_grader_source_files(root, *GRADER_SUFFIXES)


def _compute_verdict_key(
    submission: Submission,
    course: CourseRecord,
    modules: tuple[Module, ...],
    milestone: Milestone | None,
    student: str | None,
    sandbox: str,
) -> str:
    """Compute the digest of everything that a verdict depends on, except the seed."""
    here = build_machine_record(sandbox)
    parts = [
        str(milestone.id if milestone else modules[-1].id),
        submission.record.digest,
        course.digest,
        ",".join(course.changed),
        student or "",
        describe_data_identity(milestone.data) if milestone and milestone.data else "",
        here.python,
        here.system,
        sandbox,
        *(f"{name}={version}" for name, version in sorted(here.packages.items())),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
