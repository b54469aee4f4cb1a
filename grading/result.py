"""The result record: what one grading run found, and the only thing renderings read."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from grading.manifest.model import Kind, Unit

SCHEMA = "tinytorch/result/v1"


class Record(BaseModel):
    """Frozen, closed, and free of NaN in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Verdict(StrEnum):
    """What a run says of its milestone or module."""

    UNLOCKED = "unlocked"
    PROVISIONAL = "provisional"
    NOT_YET = "not_yet"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """0 unlocked or provisional, 1 not yet, 3 the grader's or the machine's error."""
        return {"unlocked": 0, "provisional": 0, "not_yet": 1, "error": 3}[self.value]


class CriterionStatus(StrEnum):
    """What became of one criterion."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    NOT_ATTEMPTED = "not_attempted"


TEXT = 1000
"""Characters kept of one text of a failure: what a student's code returned or raised may be megabytes."""
WRITTEN = 600
"""Characters kept of a prompt, and of what a network wrote after it."""
DETAIL = 3000
"""Characters kept of a traceback."""


def _cut(limit: int) -> AfterValidator:
    return AfterValidator(lambda text: text if len(text) <= limit else text[: limit - 1] + "…")


def _in_our_time(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 3000:
        raise ValueError("a time of no grading")
    return moment


Text = Annotated[str, _cut(TEXT)]


class Failure(Record):
    """One thing to fix, in the student's terms. Long texts are cut, so that a record stays of a size to be read."""

    task: str | None = None
    """Task id (2.3) where there is one."""
    title: Text
    """What should have been true: a test's docstring, or a sentence."""
    call: Text | None = None
    got: Text | None = None
    expected: Text | None = None
    hint: Text | None = None
    file: str | None = None
    """The student's file, relative to the submission."""
    line: int | None = None
    detail: Annotated[str, _cut(DETAIL)] | None = None
    """The student's part of the traceback, or what the worker's end looked like."""
    test: str | None = None
    """The test's node id, for `pytest -k`."""


class CriterionResult(Record):
    """One criterion, measured."""

    kind: Kind
    name: str
    title: str
    status: CriterionStatus
    measured: float | None = None
    threshold: FiniteFloat
    comparison: Literal["at_least", "at_most"]
    unit: Unit
    why: str
    weight: Annotated[float, Field(ge=0, le=100)] = 1.0
    """What it counts among the milestone's criteria."""
    partial: bool = False
    """Whether it still earns the share of its tests that pass when it is not met."""
    explanation: str | None = None
    """Why it was not attempted, or what the grader's error was."""
    how: str | None = None
    """How the figure was measured: seeds, noise, data."""
    measured_at: Annotated[AwareDatetime, AfterValidator(_in_our_time)] | None = None
    """When an earlier run measured it; nothing it depends on has changed since. None: in this run."""
    failures: tuple[Failure, ...] = ()


class Curve(Record):
    """A figure as training went on, measured by the grader."""

    name: str
    seed: int
    steps: tuple[FiniteFloat, ...]
    values: tuple[float | None, ...]


AXES = {"confusions": 2, "filters": 4, "step_microseconds": 1, "rivals": 2, "rivals_on_text": 1, "attention": 3}
"""Of each kind of picture."""
RIVAL_SETS = ("compositions", "made_up", "names", "claims")
"""The columns of `rivals`."""


class Picture(Record):
    """Whole numbers that a rendering draws, as an array of this shape, the last axis changing fastest.

    `confusions` (classes, classes): how many test images of each class, a row, were taken for each, a column.
    `filters` (maps, channels, height, width): the first kernels, each in 127ths of its largest magnitude.
    `step_microseconds` (labels,): what a training step takes.
    `rivals` (labels, RIVAL_SETS): thousandths of what is right, of the network, first, and of each rival.
    `rivals_on_text` (labels,): thousandths of a bit for each byte of real text, of the network, first, and each rival.
    `attention` (layers, written, tokens): percent that a layer's heads give to each earlier token when they write one,
    the largest of all heads. Its labels are all tokens, the last one that was written included.
    """

    name: Literal["confusions", "filters", "step_microseconds", "rivals", "rivals_on_text", "attention"]
    seed: int
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=4)]
    labels: Annotated[tuple[Annotated[str, _cut(60)], ...], Field(max_length=64)] = ()
    """Of the first axis, and of the second where both are alike; of attention, one more than the last axis has."""
    values: Annotated[tuple[Annotated[int, Field(ge=-(10**9), le=10**9)], ...], Field(max_length=2000)]

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.shape) != AXES[self.name] or math.prod(self.shape) != len(self.values):
            raise ValueError(f"{len(self.values)} values do not make {self.name} of the shape {self.shape}")
        if self.name == "confusions" and self.shape[0] != self.shape[1]:
            raise ValueError("what is confused has as many rows as columns")
        named = self.shape[2] + 1 if self.name == "attention" else self.shape[0]
        if self.labels and len(self.labels) != named:
            raise ValueError(f"{len(self.labels)} labels do not name {named} rows")
        if self.name == "rivals" and self.shape[1] != len(RIVAL_SETS):
            raise ValueError(f"rivals are compared on {len(RIVAL_SETS)} sets")
        if self.name == "attention" and self.shape[1] > self.shape[2]:
            raise ValueError("what was written is more than all tokens")
        return self


class Writing(Record):
    """What a network was given, and how it went on."""

    kind: Literal["function", "story", "text"]
    prompt: Annotated[str, _cut(WRITTEN)]
    written: Annotated[str, _cut(WRITTEN)]
    right: bool | None = None
    """Whether a function does what its docstring says, or all that a story claims is true; None for real text."""

    @model_validator(mode="after")
    def _be_judged(self) -> Self:
        if (self.right is None) != (self.kind == "text"):
            raise ValueError("functions and stories are right or wrong, and real text is neither")
        return self


class NamedImage(Record):
    """A test image, upright, as a network was shown it, and what the network named it."""

    shows: Annotated[str, _cut(40)]
    named: Annotated[str, _cut(40)]
    percent: Annotated[int, Field(ge=0, le=100)]
    """How sure the network was of that."""
    shape: tuple[Literal[1, 3], Annotated[int, Field(ge=1, le=32)], Annotated[int, Field(ge=1, le=32)]]
    """Channels (grey; or red, green and blue), height, width."""
    pixels: Annotated[str, Field(max_length=4096)]
    """A byte for each, as base64, in the order of an array of this shape."""

    @property
    def content(self) -> bytes:
        """The bytes of the pixels."""
        return base64.b64decode(self.pixels, validate=True)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        try:
            size = len(self.content)
        except binascii.Error:
            raise ValueError("the pixels are not base64") from None
        if size != math.prod(self.shape):
            raise ValueError(f"{size} bytes do not make an image of the shape {self.shape}")
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
    """What was graded."""

    digest: str
    files: tuple[FileRecord, ...]
    refused: tuple[Note, ...] = ()
    student: str | None = None
    commit: str | None = None
    """The commit it was checked out from, as 40 hexadecimal digits, where the grader was told."""


class CourseRecord(Record):
    """Which course graded it."""

    name: str
    version: str
    digest: str
    """Of the manifest, the tests and the grader."""
    changed: tuple[str, ...] = ()
    """Course files in a student's repository that are not as released."""


class DataRecord(Record):
    """A data set the figures come from."""

    name: str
    digest: str
    stand_in_for: str | None = None


class MachineRecord(Record):
    """Where it was graded."""

    system: str
    processor: str
    cores: int
    python: str
    packages: dict[str, str]
    sandbox: str
    """bubblewrap, landlock or process."""


class Timing(Record):
    """Seconds: all, while student code ran, and the grader's own share."""

    total: FiniteFloat
    student: FiniteFloat
    grader: FiniteFloat
    training: Annotated[tuple[FiniteFloat, ...], Field(max_length=12)] = ()
    """CPU time of training each network that names images, without what the grader asked in between."""


class Result(Record):
    """One grading run of one milestone, or of one module (then `milestone` is None)."""

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
    started_at: Annotated[AwareDatetime, AfterValidator(_in_our_time)]
    key: str
    """Digest of everything the verdict depends on but the seed."""
    reproduce: str
    """The command that runs it again."""
    submission: SubmissionRecord
    course: CourseRecord
    data: tuple[DataRecord, ...] = ()
    machine: MachineRecord
    curves: tuple[Curve, ...] = ()
    pictures: Annotated[tuple[Picture, ...], Field(max_length=12)] = ()
    writings: Annotated[tuple[Writing, ...], Field(max_length=12)] = ()
    named_images: Annotated[tuple[NamedImage, ...], Field(max_length=20)] = ()
    student_output: str = ""
    """The end of what student code printed."""
    timing: Timing

    @model_validator(mode="after")
    def _name_graded_places_only(self) -> Self:
        """Forget every place outside the files that were graded: reports show it, and a forge opens it."""
        # A file of so many bytes has no more lines.
        lines = {file.path: file.size + 1 for file in self.submission.files}
        criteria = tuple(
            c.model_copy(update={"failures": tuple(_without_foreign_place(f, lines) for f in c.failures)})
            for c in self.criteria
        )
        object.__setattr__(self, "criteria", criteria)
        return self

    @property
    def session(self) -> str:
        """The nox session that measures it: milestone-2, module-02_tensor."""
        return f"module-{self.module}" if self.milestone is None else f"milestone-{self.milestone}"

    @property
    def command(self) -> str:
        """What runs it again."""
        return f"nox -s {self.session} -- --seed {self.seed}"

    @property
    def first_to_mend(self) -> Failure | None:
        """The failure to look at first: criteria and failures are in order."""
        return next((f for c in self.criteria for f in c.failures), None)


def _without_foreign_place(failure: Failure, lines: dict[str, int]) -> Failure:
    """The failure; its file only if it is one of these, its line only if the file can have it."""
    file = failure.file if failure.file in lines else None
    line = failure.line if file is not None and 0 < (failure.line or 0) <= lines[file] else None
    return failure.model_copy(update={"file": file, "line": line})


def verdict_of(criteria: tuple[CriterionResult, ...], provisional_because: tuple[str, ...] = ()) -> Verdict:
    """An error decides, since what the machine did not measure may be right; nothing left unmeasured may unlock."""
    statuses = {c.status for c in criteria}
    if CriterionStatus.FAILED in statuses and CriterionStatus.ERROR not in statuses:
        return Verdict.NOT_YET
    if not criteria or statuses != {CriterionStatus.PASSED}:
        return Verdict.ERROR
    return Verdict.PROVISIONAL if provisional_because else Verdict.UNLOCKED
