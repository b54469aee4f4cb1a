"""Simulated classes for measurements and tests: students who make progress, get stuck, give up or finish."""

from __future__ import annotations

import base64
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from grading import progress
from grading.github import ledger
from grading.manifest.model import BuildStatus, Criterion, LanguageExperiment, Manifest, Milestone, Module, Unit
from grading.manifest.model import CriterionKind as CriterionKind
from grading.progress import Event
from grading.result import (
    CourseRecord,
    CriterionResult,
    CriterionStatus,
    Curve,
    DataRecord,
    Failure,
    MachineRecord,
    NamedImage,
    Picture,
    Result,
    SubmissionRecord,
    Timing,
    Writing,
    decide_verdict,
)

START = datetime(2026, 9, 7, 9, tzinfo=UTC)
MACHINE = MachineRecord(
    system="Linux", processor="x86_64", cores=4, python="3.12.4", packages={"numpy": "2.1.0"}, sandbox="bubblewrap"
)


def write_simulated_cohort(folder: Path, manifest: Manifest, students: int, *, seed: int = 1) -> list[str]:
    """Write `folder/STUDENT/progress/` with ledgers for this number of students; return the students' ids."""
    ids = [f"student-{number:05}" for number in range(1, students + 1)]
    for student_id in ids:
        rng = random.Random(f"{seed} {student_id}")  # noqa: S311 - not secret
        write_simulated_records(folder / student_id, manifest, rng, student_id)
    return ids


def write_simulated_records(folder: Path, manifest: Manifest, rng: random.Random, student_id: str) -> None:
    """Simulate one student's records, and write them and their ledger to `folder`."""
    (folder / progress.FOLDER).mkdir(parents=True, exist_ok=True)
    lines = []
    for run, event in enumerate(_simulate_events(manifest, rng, student_id), 1000):
        data = progress.encode_event_file(event)
        path = progress.FOLDER / progress.name_event_file(event, f"{run}-{ledger.name_event_session(event)}")
        (folder / path).write_bytes(data)
        lines.append(ledger.LedgerLine(0, path.as_posix(), ledger.compute_sha256(data), "", 1, run, event.at))
    (folder / ledger.LEDGER_FILE).write_bytes(ledger.append_ledger_lines(b"", ledger.LedgerHead(), lines)[0])


def _simulate_events(manifest: Manifest, rng: random.Random, student_id: str) -> Iterator[Event]:
    """Simulate attempts at modules and milestones in the order of the course, until the student stops."""
    at = START + timedelta(hours=rng.uniform(0, 200))
    skill, stays = rng.uniform(0.35, 0.95), rng.uniform(0.82, 1.0)
    for module in (m for m in manifest.modules if m.status is BuildStatus.BUILT):
        for passed in _simulate_attempt_outcomes(rng, skill):
            at += timedelta(hours=rng.expovariate(1 / 30))
            yield progress.make_run_event(_simulate_module_result(manifest, module, at, passed, rng, student_id))
        milestone = manifest.find_triggered_milestone(module)
        if milestone is not None and milestone.status is BuildStatus.BUILT:
            for passed in _simulate_attempt_outcomes(rng, skill):
                at += timedelta(hours=rng.expovariate(1 / 20))
                yield progress.make_run_event(
                    _simulate_milestone_result(manifest, milestone, at, passed, rng, student_id)
                )
        if rng.random() > stays:
            coming = manifest.modules[manifest.modules.index(module) + 1 :]
            if coming and rng.random() < 0.6:  # a student who gives up at a task
                following = coming[0]
                for _ in range(rng.randint(1, 5)):
                    at += timedelta(hours=rng.expovariate(1 / 10))
                    if following.status is BuildStatus.BUILT:
                        retry = random.Random(student_id)  # noqa: S311 - not secret
                        result = _simulate_module_result(manifest, following, at, False, retry, student_id)
                        yield progress.make_run_event(result)
            return


def _simulate_attempt_outcomes(rng: random.Random, skill: float) -> list[bool]:
    """Draw the outcomes of up to four failed attempts followed by a passed one."""
    failed = 0
    while rng.random() > skill and failed < 4:
        failed += 1
    return [False] * failed + [True]


def _simulate_module_result(
    manifest: Manifest, module: Module, started_at: datetime, passed: bool, rng: random.Random, student_id: str
) -> Result:
    """Make up the result of one attempt at a module: every test passed, or one task's test failed."""
    task = rng.choice(module.tasks)
    failures = () if passed else (_make_example_failure(module, task.id, task.title, task.hint),)
    criterion = CriterionResult(
        kind=CriterionKind.CODE_QUALITY,
        name="module_tests",
        title="The module's tests pass",
        status=CriterionStatus.PASSED if passed else CriterionStatus.FAILED,
        measured=1.0 if passed else round(rng.uniform(0.5, 0.97), 3),
        threshold=1.0,
        comparison="at_least",
        unit=Unit.FRACTION,
        why="Every value, shape, error and gradient that the lesson requires is correct.",
        failures=failures,
    )
    return _build_result(manifest, started_at, (criterion,), rng, student_id, module=module.id, name=module.title)


def _simulate_milestone_result(
    manifest: Manifest, milestone: Milestone, started_at: datetime, passed: bool, rng: random.Random, student_id: str
) -> Result:
    """Make up the result of one attempt at a milestone: all criteria are met or, unless ``passed``, some may not be."""
    wrong = None if passed else rng.choice(["module_tests", "quiz", "performance"])
    criteria = tuple(_simulate_criterion(manifest, milestone, c, wrong, rng) for c in milestone.criteria)
    steps = tuple(float(i * 10) for i in range(60))
    curves = tuple(
        Curve(
            name="loss",
            seed=rng.randrange(10_000),
            steps=steps,
            values=tuple(round(0.04 + 0.66 * 0.94**i * rng.uniform(0.9, 1.1), 4) for i in range(60)),
        )
        for _ in range(2)
    )
    data: tuple[DataRecord, ...] = ()
    if milestone.data is not None:
        stand_in = rng.random() < 0.3
        name = "digits" if stand_in else milestone.data
        data = (DataRecord(name=name, digest="5e" * 32, stand_in_for=milestone.data if stand_in else None),)
    return _build_result(
        manifest,
        started_at,
        criteria,
        rng,
        student_id,
        milestone=milestone.id,
        name=milestone.name,
        medal=milestone.medal,
        data=data,
        curves=curves if wrong != "module_tests" else (),
        pictures=_simulate_pictures(milestone, rng) if wrong != "module_tests" else (),
        writings=_simulate_writings(milestone) if wrong != "module_tests" else (),
        named_images=_simulate_named_images(milestone, rng) if wrong != "module_tests" else (),
        provisional_because=("Digits of scikit-learn stand in for MNIST.",) if data and data[0].stand_in_for else (),
    )


def _simulate_pictures(milestone: Milestone, rng: random.Random) -> tuple[Picture, ...]:
    """Make up a network's pictures, such as confusions and filters, or rivals for text; none if it needs no data."""
    if milestone.data is None:
        return ()
    if isinstance(milestone.experiment, LanguageExperiment):
        who = ("this network", "Kneser-Ney 5 of tokens", "nearest neighbour with the prompt's words")
        shares = tuple(rng.randrange(600, 1000) if rung < 4 else rng.randrange(900) for rung in range(12))
        tokens = ("def", " sum", "(", "a", ",", " b", "):", "\n", "return", " a", " +", " b")
        maps = tuple(rng.randrange(100) for _ in range(3 * 4 * 11))
        return (
            Picture(name="rivals", seed=1, shape=(3, 4), labels=who, values=shares),
            Picture(name="rivals_on_text", seed=1, shape=(2,), labels=who[:2], values=(2210, 2060)),
            Picture(name="attention", seed=1, shape=(3, 4, 11), labels=tokens, values=maps),
        )
    cells = [(row, column) for row in range(10) for column in range(10)]
    counts = tuple(rng.randrange(700, 990) if row == column else rng.randrange(40) for row, column in cells)
    kernels = tuple(rng.randrange(-127, 128) for _ in range(8 * 3 * 3 * 3))
    found = [
        Picture(
            name="confusions", seed=1, shape=(10, 10), labels=tuple(f"class {n}" for n in range(10)), values=counts
        ),
        Picture(name="filters", seed=1, shape=(8, 3, 3, 3), values=kernels),
    ]
    if any(criterion.figure == "speed_up" for criterion in milestone.criteria):
        sides = ("module 06", "module 13", "products alone")
        found.append(
            Picture(name="step_microseconds", seed=1, shape=(3,), labels=sides, values=(41_200, 22_500, 11_000))
        )
    return tuple(found)


def _simulate_writings(milestone: Milestone) -> tuple[Writing, ...]:
    """Make up the texts that a language network wrote; none unless the milestone is about language."""
    if not isinstance(milestone.experiment, LanguageExperiment):
        return ()
    head = 'def sum_doubled(a, b):\n    """Return the sum of a and b, doubled."""'
    return (
        Writing(kind="function", prompt=head, written="\n    return 2 * (a + b)\n", right=True),
        Writing(kind="function", prompt=head, written="\n    return 2 * (a - b)\n", right=False),
        Writing(kind="story", prompt="Ben had a dog.", written=" At night Ben went home with the dog.", right=True),
        Writing(kind="text", prompt="What light through", written=" the morning of the day"),
    )


def _simulate_named_images(milestone: Milestone, rng: random.Random) -> tuple[NamedImage, ...]:
    """Make up images of noise with their classifications; none unless the network classifies images."""
    if milestone.data is None or isinstance(milestone.experiment, LanguageExperiment):
        return ()
    shape: tuple[Literal[1, 3], int, int] = (1, 28, 28) if milestone.data == "mnist" else (3, 32, 32)
    pixels = [base64.b64encode(rng.randbytes(math.prod(shape))).decode() for _ in range(3)]
    names = (("class 1", "class 1"), ("class 2", "class 2"), ("class 4", "class 9"))
    return tuple(
        NamedImage(shows=shows, named=named, percent=rng.randrange(50, 100), shape=shape, pixels=of)
        for (shows, named), of in zip(names, pixels, strict=True)
    )


def _simulate_criterion(
    manifest: Manifest, milestone: Milestone, criterion: Criterion, failing_part: str | None, rng: random.Random
) -> CriterionResult:
    """Make up a result: failed if `failing_part` is its name, maybe if its kind; not attempted if module tests fail.

    If the tests of the modules fail, no criterion of performance or reliability is attempted.
    """
    failures: tuple[Failure, ...] = ()
    measured: float | None = criterion.threshold
    if criterion.kind is CriterionKind.PERFORMANCE and criterion.comparison == "at_least" and criterion.threshold < 1:
        measured = round(criterion.threshold + rng.uniform(0, 1 - criterion.threshold) * 0.8, 4)
    fails = failing_part == criterion.name or (failing_part == criterion.kind.value and rng.random() < 0.4)
    status = CriterionStatus.PASSED
    if fails:
        status = CriterionStatus.FAILED
        measured = criterion.threshold * (0.9 if criterion.comparison == "at_least" else 1.6)
        if criterion.name == "module_tests":
            module = rng.choice(manifest.list_modules_up_to(milestone))
            task = rng.choice(module.tasks)
            failures = (_make_example_failure(module, task.id, task.title, task.hint),)
        elif criterion.name == "quiz" and milestone.questions:
            question = rng.choice(milestone.questions)
            failures = (Failure(title=f"Question {question.id} is answered correctly", got="another answer"),)
    elif failing_part == "module_tests" and criterion.kind in (CriterionKind.PERFORMANCE, CriterionKind.RELIABILITY):
        status, measured = CriterionStatus.NOT_ATTEMPTED, None
    return CriterionResult(
        kind=criterion.kind,
        name=criterion.name,
        title=criterion.title,
        status=status,
        measured=measured,
        threshold=criterion.threshold,
        comparison=criterion.comparison,
        unit=criterion.unit,
        why=criterion.why,
        how="3 runs, each from fresh weights" if criterion.kind is CriterionKind.PERFORMANCE else None,
        failures=failures,
    )


def _make_example_failure(module: Module, task: str, title: str, hint: str) -> Failure:
    """Make up a failure of this task's test."""
    return Failure(
        task=task,
        title=title,
        call="f(x)",
        got="NotImplementedError",
        expected="an array of shape (2, 3)",
        hint=hint,
        file=module.code.as_posix(),
        line=41,
        test=f"{module.tests.as_posix()}::test_it",
    )


def _build_result(
    manifest: Manifest,
    started_at: datetime,
    criteria: tuple[CriterionResult, ...],
    rng: random.Random,
    student_id: str,
    **fields_by_name: object,
) -> Result:
    """Make up a result with these criteria, which decide its verdict. ``fields_by_name`` are further fields."""
    fields: dict[str, object] = {"milestone": None, "provisional_because": ()} | fields_by_name
    course = manifest.course
    return Result.model_validate(
        fields
        | {
            "criteria": criteria,
            "verdict": decide_verdict(criteria, fields["provisional_because"]),  # type: ignore[arg-type]
            "seed": rng.randrange(100_000),
            "official": rng.random() < 0.5,
            "started_at": started_at,
            "key": f"{rng.getrandbits(256):064x}",
            "reproduce": "nox -s milestone-1",
            "submission": SubmissionRecord(digest=f"{rng.getrandbits(256):064x}", files=(), student=student_id),
            "course": CourseRecord(name=course.name, version=course.version, digest="c0" * 32),
            "machine": MACHINE,
            "timing": Timing(total=12.5, student=9.1, grader=3.4),
        }
    )
