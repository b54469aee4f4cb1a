"""The result record of one grading run. Renderers read nothing else."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from grading.manifest.model import CriterionKind, Unit

SCHEMA = "tinytorch/result/v1"


class Record(BaseModel):
    """The base class of all records, which are frozen and have no extra fields and no NaN in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Verdict(StrEnum):
    """A run's verdict on its milestone or module."""

    UNLOCKED = "unlocked"
    PROVISIONAL = "provisional"
    NOT_YET = "not_yet"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """The exit code: 0 unlocked or provisional, 1 not yet, 3 an error of the grader or the machine."""
        return {"unlocked": 0, "provisional": 0, "not_yet": 1, "error": 3}[self.value]


class CriterionStatus(StrEnum):
    """The outcome of one criterion."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    NOT_ATTEMPTED = "not_attempted"


TEXT = 1000
"""The maximum number of characters kept from a failure's text, since student code may produce a huge value."""
WRITTEN = 600
"""The maximum number of characters kept from a prompt, and from the text that a network wrote after it."""
DETAIL = 3000
"""The maximum number of characters kept from a traceback."""


def _make_truncating_validator(limit: int) -> AfterValidator:
    """Make a validator that cuts a text to this many characters."""
    return AfterValidator(lambda text: text if len(text) <= limit else text[: limit - 1] + "…")


def _require_plausible_year(moment: datetime) -> datetime:
    """Return the time. Raise ValueError unless its year is from 2000 to 2999."""
    if not 2000 <= moment.year < 3000:
        raise ValueError("not a plausible time")
    return moment


Text = Annotated[str, _make_truncating_validator(TEXT)]


class Failure(Record):
    """One thing to fix, described for the student. Long texts are cut to keep records small."""

    task: str | None = None
    """The task's id, such as 2.3, if there is one."""
    title: Text
    """A statement that should be true, such as a test's docstring."""
    call: Text | None = None
    got: Text | None = None
    expected: Text | None = None
    hint: Text | None = None
    file: str | None = None
    """The student's file, relative to the submission."""
    line: int | None = None
    detail: Annotated[str, _make_truncating_validator(DETAIL)] | None = None
    """The student's part of the traceback, or a description of how the worker ended."""
    test: str | None = None
    """The test's node id, for `pytest -k`."""


class CriterionResult(Record):
    """The result of one criterion."""

    kind: CriterionKind
    name: str
    title: str
    status: CriterionStatus
    measured: float | None = None
    threshold: FiniteFloat
    comparison: Literal["at_least", "at_most"]
    unit: Unit
    why: str
    weight: Annotated[float, Field(ge=0, le=100)] = 1.0
    """The criterion's weight among the milestone's criteria."""
    partial: bool = False
    """Whether an unmet criterion earns points in proportion to its passing tests."""
    explanation: str | None = None
    """The reason why the criterion was not attempted, or the grader's error."""
    how: str | None = None
    """A description of how the figure was measured: seeds, noise, data."""
    measured_at: Annotated[AwareDatetime, AfterValidator(_require_plausible_year)] | None = None
    """The time of the earlier run that measured the figure, or None if this run measured it."""
    failures: tuple[Failure, ...] = ()


class Curve(Record):
    """The values of a figure over the course of training, measured by the grader."""

    name: str
    seed: int
    steps: tuple[FiniteFloat, ...]
    values: tuple[float | None, ...]


AXES = {"confusions": 2, "filters": 4, "step_microseconds": 1, "rivals": 2, "rivals_on_text": 1, "attention": 3}
"""The number of axes of each kind of picture."""
RIVAL_SETS = ("compositions", "made_up", "names", "claims")
"""The columns of `rivals`."""


class Picture(Record):
    """Integers that a renderer draws, as an array of this shape in row-major order.

    `confusions` (classes, classes): the number of test images of each class (row) classified as each class (column).
    `filters` (maps, channels, height, width): the first layer's kernels, each in 127ths of its largest magnitude.
    `step_microseconds` (labels,): the time of a training step. `rivals` (labels, RIVAL_SETS): the correct share in
    thousandths, for the network (first) and for each rival. `rivals_on_text` (labels,): bits per byte of real text in
    thousandths, for the network (first) and for each rival. `attention` (layers, written, tokens): the percentage of
    attention on each earlier token when a token is written, from the head where it is largest. Its labels are all
    tokens, including the last one written.
    """

    name: Literal["confusions", "filters", "step_microseconds", "rivals", "rivals_on_text", "attention"]
    seed: int
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=4)]
    labels: Annotated[tuple[Annotated[str, _make_truncating_validator(60)], ...], Field(max_length=64)] = ()
    """The labels of the first axis, and also of the second if both stand for the same things.

    Attention has one label more than its last axis.
    """
    values: Annotated[tuple[Annotated[int, Field(ge=-(10**9), le=10**9)], ...], Field(max_length=2000)]

    @model_validator(mode="after")
    def _validate_shape(self) -> Self:
        """Check that the values and labels match the shape."""
        if len(self.shape) != AXES[self.name] or math.prod(self.shape) != len(self.values):
            raise ValueError(f"{len(self.values)} values cannot fill {self.name} of shape {self.shape}")
        if self.name == "confusions" and self.shape[0] != self.shape[1]:
            raise ValueError("confusions must have as many rows as columns")
        named = self.shape[2] + 1 if self.name == "attention" else self.shape[0]
        if self.labels and len(self.labels) != named:
            raise ValueError(f"{len(self.labels)} labels do not match {named} rows")
        if self.name == "rivals" and self.shape[1] != len(RIVAL_SETS):
            raise ValueError(f"rivals must be compared on {len(RIVAL_SETS)} sets")
        if self.name == "attention" and self.shape[1] > self.shape[2]:
            raise ValueError("the number of written tokens exceeds the number of all tokens")
        return self


class Writing(Record):
    """A prompt, and the text that a network wrote after it."""

    kind: Literal["function", "story", "text"]
    prompt: Annotated[str, _make_truncating_validator(WRITTEN)]
    written: Annotated[str, _make_truncating_validator(WRITTEN)]
    right: bool | None = None
    """Whether a function does what its docstring says or all of a story's claims are true; None for real text."""

    @model_validator(mode="after")
    def _validate_judgement(self) -> Self:
        """Check that functions and stories are judged and real text is not."""
        if (self.right is None) != (self.kind == "text"):
            raise ValueError("functions and stories must be judged, and real text must not be")
        return self


class NamedImage(Record):
    """A test image, in its upright orientation, with its class and the class that a network assigned to it."""

    shows: Annotated[str, _make_truncating_validator(40)]
    named: Annotated[str, _make_truncating_validator(40)]
    percent: Annotated[int, Field(ge=0, le=100)]
    """The network's confidence in that class."""
    shape: tuple[Literal[1, 3], Annotated[int, Field(ge=1, le=32)], Annotated[int, Field(ge=1, le=32)]]
    """The channels (grey, or red, green and blue), the height and the width."""
    pixels: Annotated[str, Field(max_length=4096)]
    """One byte per value, as base64, in row-major (C) order for this shape."""

    @property
    def content(self) -> bytes:
        """The bytes of the pixels."""
        return base64.b64decode(self.pixels, validate=True)

    @model_validator(mode="after")
    def _validate_pixels(self) -> Self:
        """Check that the pixels match the shape."""
        try:
            size = len(self.content)
        except binascii.Error:
            raise ValueError("the pixels are not base64") from None
        if size != math.prod(self.shape):
            raise ValueError(f"{size} bytes cannot fill an image of shape {self.shape}")
        return self


class FileRecord(Record):
    """One file that was graded."""

    path: str
    sha256: str
    size: int


class Note(Record):
    """Something about the submission that the student should know."""

    path: str
    message: str


class SubmissionRecord(Record):
    """The submission that was graded."""

    digest: str
    files: tuple[FileRecord, ...]
    refused: tuple[Note, ...] = ()
    student: str | None = None
    commit: str | None = None
    """The commit of the submission, as 40 hexadecimal digits, if it was passed to the grader."""


class CourseRecord(Record):
    """The course that graded the submission."""

    name: str
    version: str
    digest: str
    """The digest of the manifest, the tests and the grader."""
    changed: tuple[str, ...] = ()
    """The course files in a student's repository that differ from the release."""


class DataRecord(Record):
    """A data set on which figures were measured."""

    name: str
    digest: str
    stand_in_for: str | None = None


class MachineRecord(Record):
    """The machine that graded the submission."""

    system: str
    processor: str
    cores: int
    python: str
    packages: dict[str, str]
    sandbox: str
    """The kind of sandbox: bubblewrap, landlock or process."""


class Timing(Record):
    """The times of a run in seconds: the total, the student code's time, and the grader's."""

    total: FiniteFloat
    student: FiniteFloat
    grader: FiniteFloat
    training: Annotated[tuple[FiniteFloat, ...], Field(max_length=12)] = ()
    """The CPU time of training each image classifier, excluding the grader's queries in between."""


class Result(Record):
    """The result of grading one milestone, or one module. For a module, `milestone` is None."""

    record: Literal["tinytorch/result/v1"] = "tinytorch/result/v1"
    milestone: int | None
    module: str | None = None
    name: str
    medal: str | None = None
    verdict: Verdict
    provisional_because: tuple[str, ...] = ()
    criteria: tuple[CriterionResult, ...]
    seed: int
    official: bool
    started_at: Annotated[AwareDatetime, AfterValidator(_require_plausible_year)]
    key: str
    """The digest of everything that the verdict depends on, except the seed."""
    reproduce: str
    """The command that repeats the grading."""
    submission: SubmissionRecord
    course: CourseRecord
    data: tuple[DataRecord, ...] = ()
    machine: MachineRecord
    curves: tuple[Curve, ...] = ()
    pictures: Annotated[tuple[Picture, ...], Field(max_length=12)] = ()
    writings: Annotated[tuple[Writing, ...], Field(max_length=12)] = ()
    named_images: Annotated[tuple[NamedImage, ...], Field(max_length=20)] = ()
    student_output: str = ""
    """The end of the student code's printed output."""
    timing: Timing

    @model_validator(mode="after")
    def _drop_ungraded_places(self) -> Self:
        """Drop from failures each file and line that was not graded, since reports show and link to these places."""
        # The number of lines in a file is at most its number of bytes, plus one.
        lines = {file.path: file.size + 1 for file in self.submission.files}
        criteria = tuple(
            c.model_copy(update={"failures": tuple(_drop_unknown_place(f, lines) for f in c.failures)})
            for c in self.criteria
        )
        object.__setattr__(self, "criteria", criteria)
        return self

    @property
    def session(self) -> str:
        """The nox session that runs this grading: milestone-2, module-02_tensor."""
        return f"module-{self.module}" if self.milestone is None else f"milestone-{self.milestone}"

    @property
    def command(self) -> str:
        """The command that repeats the grading run, in the form that the current version accepts."""
        return f"nox -s {self.session} -- --seed {self.seed}"

    @property
    def first_failure(self) -> Failure | None:
        """The failure to fix first, in the order of the criteria and their failures, or None if there is none."""
        return next((f for c in self.criteria for f in c.failures), None)


def _drop_unknown_place(failure: Failure, line_counts: dict[str, int]) -> Failure:
    """Return the failure without its file if that has no line count, and without its line if the file is shorter."""
    file = failure.file if failure.file in line_counts else None
    line = failure.line if file is not None and 0 < (failure.line or 0) <= line_counts[file] else None
    return failure.model_copy(update={"file": file, "line": line})


def decide_verdict(criteria: tuple[CriterionResult, ...], provisional_because: tuple[str, ...] = ()) -> Verdict:
    """Return UNLOCKED or PROVISIONAL if all passed, NOT_YET if some failed and none has an error, otherwise ERROR.

    If all criteria passed, return PROVISIONAL if there is a reason for that, and otherwise UNLOCKED.
    """
    statuses = {c.status for c in criteria}
    if CriterionStatus.FAILED in statuses and CriterionStatus.ERROR not in statuses:
        return Verdict.NOT_YET
    if not criteria or statuses != {CriterionStatus.PASSED}:
        return Verdict.ERROR
    return Verdict.PROVISIONAL if provisional_because else Verdict.UNLOCKED
