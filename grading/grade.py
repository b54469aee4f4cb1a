"""The line from manifest and submission through the checks to one result."""

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
from grading.criteria import asked, stated
from grading.data.load import fetch_if_missing, identity
from grading.dependencies import (
    GRADER_SUFFIXES,
    NEVER_KEPT,
    Dependencies,
    digest_files,
    find_dependencies,
    grader_files,
    test_files,
)
from grading.errors import GraderError, UsageError
from grading.lock import changed_course_files
from grading.machine import machine
from grading.manifest.load import load
from grading.manifest.model import Budget, Criterion, Kind, Manifest, Milestone, Module, Status
from grading.measurement import CheckContext, Measurement, WorkerLog
from grading.memory import limit_memory
from grading.quiz.identity import student_id
from grading.quiz.safe_yaml import InvalidFileError
from grading.remote import WorkerClosedError, WorkerFailureError
from grading.render.progress import Silent, Watch
from grading.result import CourseRecord, CriterionResult, CriterionStatus, Result, Timing, verdict_of
from grading.sandbox.folders import temporary_folder
from grading.sandbox.launch import choose
from grading.submission import Submission, copy_modules, take
from grading.workers import start_worker

if TYPE_CHECKING:
    from grading.testing.runner import TestOutcome


def _find_later(module: str, name: str) -> Callable[[CheckContext], Measurement]:
    """A check that is imported when it first measures: whoever is answered from kept figures waits for none of them."""

    def measure(context: CheckContext) -> Measurement:
        found: Callable[[CheckContext], Measurement] = getattr(importlib.import_module(module), name)
        return found(context)

    return measure


CHECKS = {
    "source": _find_later("grading.checks.usable_source", "count_unusable_files"),
    "imports": _find_later("grading.checks.allowed_imports", "count_import_violations"),
    "module_tests": _find_later("grading.checks.student_tests", "run_module_tests"),
    "integration_tests": _find_later("grading.checks.student_tests", "run_integration_tests"),
    "xor": _find_later("grading.checks.xor_training", "measure_xor"),
    "mnist": _find_later("grading.checks.mnist_accuracy", "measure_mnist"),
    "cifar10_convergence": _find_later("grading.checks.cifar10_convergence", "measure_cifar10_convergence"),
    "cifar10_kernels": _find_later("grading.checks.cifar10_kernels", "measure_cifar10_kernels"),
    "kernel_speed": _find_later("grading.checks.kernel_speed", "measure_kernel_speed"),
    "language": _find_later("grading.checks.text_generation", "measure_language"),
    "demo": _find_later("grading.demos.demo_reliability", "measure_demo_reliability"),
    "quiz": _find_later("grading.checks.quiz_answers", "measure_quiz"),
}
MOST_FAILURES = 40
"""Of one criterion, in the record: thousands of the same kind tell nobody more."""
PRINTED = 64 << 10
"""Characters of student output in the record, from all workers together."""
CHECK_HEADROOM = 4 << 30
"""Bytes that a check may take of this machine, its data sets included."""
MODULE_BUDGET = Budget(wall_seconds=180, call_seconds=10, train_seconds=10, memory_mb=2048)


@dataclass(frozen=True)
class Prepared:
    """What is the same in one grading and the next: who grades after every save finds it out once."""

    manifest: Manifest
    sandbox: str
    course: CourseRecord
    start: Callable[[Submission, tuple[Module, ...], Budget, str], Worker] = start_worker
    """Starts a worker, or hands over one that was started ahead."""


@dataclass(frozen=True)
class Request:
    """What is to be graded and how."""

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
    watch: Watch | None = None,
) -> Result:
    """Measure one milestone for the repository at ``root`` or another tree, ``submission``.

    A check that this machine has measured, and whose figures depend on nothing that has changed since, is answered from
    that, unless it is asked for ``again``, the grading is official, or a ``seed`` is given that is not its own.
    ``commit`` is what the tree was checked out from, for the record. Raises ManifestError, UsageError or GraderError.
    """
    manifest = load(root)
    milestone = built_milestone(manifest, number)
    request = Request(root, submission or root, seed, official, student, again, _commit(commit))
    prepared = prepare(root, manifest, official=official)
    return _grade(request, prepared, manifest.modules_for(milestone), milestone, watch or Silent())


def grade_module(
    root: Path,
    module_id: str,
    *,
    submission: Path | None = None,
    task: str | None = None,
    seed: int | None = None,
    commit: str | None = None,
    watch: Watch | None = None,
    prepared: Prepared | None = None,
    is_enough: Callable[[TestOutcome], bool] = lambda _: False,
) -> Result:
    """Run one module's audit and tests, or those of one ``task``, through a worker; a Result without a milestone.

    ``prepared`` saves preparing again; the first outcome that ``is_enough`` is the last of the tests.
    """
    manifest = prepared.manifest if prepared else load(root)
    try:
        module = manifest.module(module_id)
    except KeyError:
        raise UsageError(f"There is no module {module_id}; `tito module list` shows them.") from None
    if module.status is Status.PLANNED:
        raise UsageError(f"Module {module_id} is planned: it is not built yet and cannot be tested.")
    request = Request(
        root,
        submission or root,
        seed,
        official=False,
        student=None,
        again=True,
        commit=_commit(commit),
        is_enough=is_enough,
    )
    if task is not None:
        known = [one.id for one in module.tasks]
        task = next((one for one in known if one in (task, f"{module.number}.{task}")), None)
        if task is None:
            raise UsageError(f"Module {module_id} has no such task; it has {', '.join(known)}.")
    return _grade(request, prepared or prepare(root, manifest), (module,), None, watch or Silent(), task)


def modules_up_to(manifest: Manifest, last: Module) -> tuple[Module, ...]:
    """What a worker sees in a grading of this module: its tests may lean on the built modules before it."""
    return tuple(m for m in manifest.modules if m.number <= last.number and m.status is Status.BUILT)


def prepare(root: Path, manifest: Manifest, *, official: bool = False) -> Prepared:
    """The fence and the course that the repository at ``root`` grades with. GraderError where nothing may be graded."""
    return Prepared(manifest, choose(official=official), course_record(root, manifest))


def built_milestone(manifest: Manifest, number: int) -> Milestone:
    """The milestone with this number; UsageError when there is none, or when it is only planned."""
    try:
        milestone = manifest.milestone(number)
    except KeyError:
        raise UsageError(f"There is no milestone {number}; there are 1 to {len(manifest.milestones)}.") from None
    if milestone.status is Status.PLANNED:
        raise UsageError(f"Milestone {number}, {milestone.name}, is planned: it is not built yet and cannot be graded.")
    return milestone


def _grade(
    request: Request,
    prepared: Prepared,
    modules: tuple[Module, ...],
    milestone: Milestone | None,
    watch: Watch,
    task: str | None = None,
) -> Result:
    started, clock = datetime.now(UTC), time.monotonic()
    _require_tests(request.root, modules, milestone)
    manifest, sandbox, course = prepared.manifest, prepared.sandbox, prepared.course
    on_path = modules_up_to(manifest, modules[-1])
    budget = milestone.budget if milestone else MODULE_BUDGET
    with temporary_folder("tinytorch-submission-") as folder:
        handed_in = take(request.submission, manifest, on_path, milestone, folder)
        student = request.student or _student(handed_in)
        key = _key(handed_in, course, modules, milestone, student, sandbox)
        criteria = asked(manifest, milestone.id if milestone else None)
        dependencies, kept = None, {}
        if milestone is not None and not request.official:
            dependencies = find_dependencies(request.root, manifest, milestone, handed_in, sandbox)
            kept = {} if request.again else _find_kept(dependencies, criteria, watch)
        log = WorkerLog()

        def start(last: int | None = None) -> Worker:
            modules, visible = on_path, handed_in
            if last is not None:
                modules = tuple(m for m in on_path if m.number <= last)
                visible = copy_modules(handed_in, modules, folder / f"up-to-{last}")
            log.workers.append(prepared.start(visible, modules, budget, sandbox))
            return log.workers[-1]

        # A report has one seed: without one that was asked for, that of most of what is kept.
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
        memory = RunMemory(dependencies, {check: one for check, one in kept.items() if one.seed == seed}, started)
        judged, measured = _judge(context, criteria, memory)
    total = time.monotonic() - clock
    data = tuple(m.data for m in measured if m.data is not None)
    reasons = tuple(f"{d.name} stood in for {d.stand_in_for}" for d in data if d.stand_in_for is not None)
    if request.official and request.student is None and student is not None:
        reasons += ("only the submission's own student.yaml says whose questions these are: pass --student ID",)
    if course.changed:
        reasons += (f"course files differ from the release: {', '.join(course.changed[:3])}",)
    return Result(
        milestone=milestone.id if milestone else None,
        module=None if milestone else modules[-1].id,
        name=milestone.name if milestone else f"{modules[-1].title}{f', task {task} alone' if task else ''}",
        medal=milestone.medal if milestone else None,
        verdict=verdict_of(judged, reasons),
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
        machine=machine(sandbox),
        curves=tuple(curve for m in measured for curve in m.curves),
        pictures=tuple(picture for m in measured for picture in m.pictures),
        writings=tuple(writing for m in measured for writing in m.writings),
        named_images=tuple(image for m in measured for image in m.named_images),
        student_output=log.join_output(PRINTED),
        timing=Timing(
            total=round(total, 3),
            student=round(log.student_seconds, 3),
            grader=round(total - log.student_seconds, 3),
            training=tuple(round(seconds, 3) for m in measured for seconds in m.training_seconds),
        ),
    )


def _require_tests(root: Path, modules: Iterable[Module], milestone: Milestone | None) -> None:
    """UsageError when a test file of the course is gone from the folder that is graded with."""
    tests = [module.tests for module in modules] + ([milestone.integration_tests] if milestone else [])
    missing = " ".join(path.as_posix() for path in tests if not (root / path).is_file())
    if missing:
        raise UsageError(
            f"Missing: {missing}. The course's tests belong to it; restore them: git checkout -- {missing}"
        )


def _find_kept(dependencies: Dependencies, criteria: Iterable[Criterion], watch: Watch) -> dict[str, cache.KeptFigures]:
    """What is kept of each check, in the criteria's order; nothing of a stand-in once the data themselves have come."""
    figures: dict[str, list[str]] = {}
    for criterion in criteria:
        figures.setdefault(criterion.check, []).append(criterion.figure)
    kept = {}
    for check, names in figures.items():
        found = None
        if check not in NEVER_KEPT:
            found = cache.find_figures(dependencies.compute_key(check, CHECKS[check]), names)
        data = found.measured.data if found else None
        stands_in = data is not None and data.stand_in_for is not None
        if found is not None and not (stands_in and fetch_if_missing(str(dependencies.milestone.data), watch)):
            kept[check] = found
    return kept


@dataclass(frozen=True)
class RunMemory:
    """What is known of a run's checks from before, and where what it measures is kept."""

    dependencies: Dependencies | None
    """None: nothing is kept."""
    kept: Mapping[str, cache.KeptFigures]
    began: datetime

    def keep(self, check: str, measured: Measurement, context: CheckContext, printed: str) -> None:
        """Keep what a check has measured; a run that is interrupted later need not measure it again."""
        if self.dependencies is not None and check not in NEVER_KEPT:
            key = self.dependencies.compute_key(check, CHECKS[check])  # not before: data may have come meanwhile
            cache.keep_figures(
                cache.KeptFigures(
                    key=key, seed=context.seed, measured_at=self.began, printed=printed[-PRINTED:], measured=measured
                )
            )


def _judge(
    context: CheckContext, criteria: Iterable[Criterion], memory: RunMemory
) -> tuple[tuple[CriterionResult, ...], list[Measurement]]:
    """Every criterion in the manifest's order. When code quality fails, what costs more is not attempted."""
    measured: dict[str, Measurement | GraderError] = {}
    judged: list[CriterionResult] = []
    stopped_by: Criterion | None = None
    for criterion in criteria:
        base = stated(criterion)
        if stopped_by is not None and criterion.kind is not Kind.UNDERSTANDING:
            why = f"Not attempted: first fix “{stopped_by.title}”."
            judged.append(CriterionResult(status=CriterionStatus.NOT_ATTEMPTED, explanation=why, **base))
            continue
        kept = memory.kept.get(criterion.check)
        if criterion.check not in measured:
            measured[criterion.check] = (
                _take_kept(kept, context) if kept else _measure(criterion.check, context, memory)
            )
        found = measured[criterion.check]
        if isinstance(found, GraderError):
            judged.append(CriterionResult(status=CriterionStatus.ERROR, explanation=str(found), **base))
            stopped_by = stopped_by or criterion
            continue
        figure = found.figures[criterion.figure]
        passed = figure is not None and criterion.met_by(figure)
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
        if not passed and criterion.kind is Kind.CODE_QUALITY:
            stopped_by = stopped_by or criterion
    return tuple(judged), [m for m in measured.values() if isinstance(m, Measurement)]


def _take_kept(kept: cache.KeptFigures, context: CheckContext) -> Measurement:
    """What a check measured in an earlier run, with what student code printed then."""
    context.log.output.append(kept.printed)
    return kept.measured


def _measure(check: str, context: CheckContext, memory: RunMemory) -> Measurement | GraderError:
    """One check's figures, kept; whatever breaks in the grader or its machine is an error, never the student's failure.

    Nothing is kept of a check of which a worker died: memory or time may have been the machine's.
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
    # Whatever the check made of it: a worker that the machine did not let work has measured nothing.
    if broken := next((failure for failure in failures if isinstance(failure, GraderError)), None):
        return broken
    died = any(isinstance(one, WorkerFailureError) and not isinstance(one, WorkerClosedError) for one in failures)
    if isinstance(measured, Measurement) and not died:
        memory.keep(check, measured, context, "".join(context.log.output[before:]))
    return measured


def _commit(commit: str | None) -> str | None:
    """The commit as it was given; UsageError for anything but a full one."""
    if commit is not None and not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise UsageError(f"{commit!a:.60} is no full commit. Give the 40 hexadecimal digits of `git rev-parse HEAD`.")
    return commit


def _student(submission: Submission) -> str | None:
    """Who handed it in; a damaged file is as good as none, and the quiz says so."""
    try:
        return student_id(submission.answers)
    except InvalidFileError:
        return None


def course_record(root: Path, manifest: Manifest) -> CourseRecord:
    """Which course the repository at ``root`` grades with: the digest of its manifest, tests and grader.

    Deadlines are no part of it: no verdict depends on them, and moving one must not grade a whole class anew.
    """
    whole = hashlib.sha256(manifest.model_dump_json(exclude={"deadlines"}).encode())
    return CourseRecord(
        name=manifest.course.name,
        version=manifest.course.version,
        digest=digest_files(root, course_files(root), whole),
        changed=changed_course_files(root),
    )


def course_files(root: Path) -> list[Path]:
    """The files that a verdict depends on besides the manifest: tests, their references, the grader."""
    return test_files(root) + grader_files(root, *GRADER_SUFFIXES)


def _key(
    submission: Submission,
    course: CourseRecord,
    modules: tuple[Module, ...],
    milestone: Milestone | None,
    student: str | None,
    sandbox: str,
) -> str:
    """Digest of everything a verdict depends on, except the seed."""
    here = machine(sandbox)
    parts = [
        str(milestone.id if milestone else modules[-1].id),
        submission.record.digest,
        course.digest,
        ",".join(course.changed),
        student or "",
        identity(milestone.data) if milestone and milestone.data else "",
        here.python,
        here.system,
        sandbox,
        *(f"{name}={version}" for name, version in sorted(here.packages.items())),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
