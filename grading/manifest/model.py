"""The typed manifest, which defines what milestones.yaml may contain and what every reader may rely on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=60)]
ModuleId = Annotated[str, StringConstraints(pattern=r"^\d\d_[a-z0-9]+$")]
TaskId = Annotated[str, StringConstraints(pattern=r"^\d{1,2}\.\d{1,2}$")]
Sentence = Annotated[str, StringConstraints(min_length=3, strip_whitespace=True)]
Hint = Annotated[str, StringConstraints(min_length=20, max_length=480, strip_whitespace=True)]

T = TypeVar("T")


class FrozenModel(BaseModel):
    """A record that accepts no unknown keys and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BuildStatus(StrEnum):
    """Whether a part of the course can be worked on."""

    BUILT = "built"
    PLANNED = "planned"


class Task(FrozenModel):
    """One numbered gap that a student fills."""

    id: TaskId
    title: Sentence
    hints: tuple[Hint, ...] = Field(min_length=3, max_length=3)
    """Three hints, each more specific than the last: what to think about, how to begin, and the formula or line."""

    @property
    def hint(self) -> str:
        """The hint that a failed test shows: how to begin."""
        return self.hints[1]


class Module(FrozenModel):
    """A module of the course. The paths of its files follow from its id."""

    id: ModuleId
    title: Sentence
    summary: Sentence
    status: BuildStatus = BuildStatus.BUILT
    imports: tuple[str, ...] = ("math", "numpy")
    """The top-level packages that its file may import, besides earlier modules of the course."""
    packages: tuple[str, ...] = ()
    """The requirements besides the course's own dependencies, in pip's format, such as numba>=0.61."""
    tasks: tuple[Task, ...] = ()

    @property
    def number(self) -> int:
        """The id's part before the underscore: 2 for 02_tensor."""
        return int(self.id[:2])

    @property
    def name(self) -> str:
        """The id's part after the underscore: tensor for 02_tensor."""
        return self.id[3:]

    @property
    def folder(self) -> Path:
        """The module's folder, relative to the repository."""
        return Path("modules", self.id)

    @property
    def code(self) -> Path:
        """The student's file, relative to the repository."""
        return self.folder / "tinytorch" / f"{self.name}.py"

    @property
    def tests(self) -> Path:
        """The module's tests, relative to the repository."""
        return self.folder / f"test_{self.name}.py"

    @property
    def reference(self) -> Path:
        """The file with the reference figures that its tests use, if there are any. The file states their source."""
        return self.folder / "reference.json"

    @property
    def lesson(self) -> Path:
        """The module's lesson, relative to the repository."""
        return self.folder / "README.md"


class CriterionKind(StrEnum):
    """The four kinds of criteria by which every milestone is judged."""

    CODE_QUALITY = "code_quality"
    PERFORMANCE = "performance"
    RELIABILITY = "reliability"
    UNDERSTANDING = "understanding"


class Unit(StrEnum):
    """The unit of a threshold. It determines the valid range and the printed format."""

    FRACTION = "fraction"
    LOSS = "loss"
    COUNT = "count"
    RATIO = "ratio"


class Criterion(FrozenModel):
    """One measured figure with its threshold."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["at_least"]}, {"required": ["at_most"]}]},
    )

    kind: CriterionKind
    name: Slug
    title: Sentence
    check: Slug
    """The check that measures it."""
    figure: Slug
    """The name of the check's figure."""
    unit: Unit
    at_least: float | None = None
    at_most: float | None = None
    why: Sentence
    """One sentence that tells the student what the figure means."""
    topic: Slug | None = None
    """The troubleshooting topic that helps if the criterion is not met."""
    weight: float = Field(default=1.0, ge=0, le=100)
    """The criterion's weight in the milestone's score. The verdict requires every criterion, whatever its weight."""
    partial: bool = False
    """Whether a code-quality criterion that is not met still earns points in proportion to its passing tests."""

    @model_validator(mode="after")
    def _check_partial(self) -> Criterion:
        """Reject partial credit unless the criterion is a fraction of code-quality tests."""
        if self.partial and (self.kind is not CriterionKind.CODE_QUALITY or self.unit is not Unit.FRACTION):
            message = f"criterion {self.name} is not a share of tests, so it cannot earn partial credit."
            raise _build_value_error("partial", message, "Delete `partial`, or set it where module tests are counted.")
        return self

    @model_validator(mode="after")
    def _check_threshold(self) -> Criterion:
        """Require exactly one threshold, in the range of its unit."""
        if self.at_least is None and self.at_most is None:
            repair = "Add `at_least: …` or `at_most: …`."
            raise _build_value_error("name", f"criterion {self.name} has no threshold.", repair)
        if self.at_least is not None and self.at_most is not None:
            raise _build_value_error("at_most", f"criterion {self.name} has two thresholds.", "Keep one of the two.")
        top = 1.0 if self.unit is Unit.FRACTION else float("inf")
        if not 0 <= self.threshold <= top:
            message = f"`{self.comparison}: {self.threshold:g}` is out of range for a {self.unit.value}."
            repair = "Write a number from 0 to 1." if top == 1 else "Write a number that is not negative."
            raise _build_value_error(self.comparison, message, repair)
        return self

    @property
    def threshold(self) -> float:
        """The threshold, which is either a lower or an upper bound."""
        return self.at_least if self.at_least is not None else self.at_most  # type: ignore[return-value]

    @property
    def comparison(self) -> Literal["at_least", "at_most"]:
        """The kind of bound that the threshold is."""
        return "at_least" if self.at_least is not None else "at_most"

    def is_met_by(self, measured: float) -> bool:
        """Return whether a figure meets the threshold. NaN never meets it."""
        return measured >= self.threshold if self.at_least is not None else measured <= self.threshold


def _build_value_error(key: str, message: str, repair: str) -> PydanticCustomError:
    """Build a validation error from which the loader can report the line of this key and the fix."""
    return PydanticCustomError("value", "{message} {repair}", {"key": key, "message": message, "repair": repair})


class Environment(FrozenModel):
    """The environment variables of the session that grades a milestone."""

    python: str = ">=3.11"
    packages: tuple[str, ...] = ("numpy>=2.0,<3",)


class Budget(FrozenModel):
    """The resources that student code may use before it is stopped.

    All seconds are CPU seconds, even `wall_seconds`, because on a busy machine correct code takes longer without using
    more CPU time. `grading.limits` derives the wall-clock limits from them.
    """

    wall_seconds: float = Field(gt=0)
    """The limit for all student code in one worker."""
    call_seconds: float = Field(gt=0)
    """The limit for one call in a module test."""
    train_seconds: float = Field(gt=0)
    """The limit for one training run, including the grader's own calls to the network."""
    memory_mb: int = Field(ge=64)
    """The limit for the address space of one worker."""
    threads: int = Field(default=1, ge=1, le=64)
    """The number of threads for NumPy's matrix products."""
    module_bytes: int = Field(default=16_000, ge=1000)
    """The limit for a module's file, compressed with lzma."""
    recipe_bytes: int = Field(default=6_000, ge=1000)
    """The limit for a recipe, compressed with lzma."""
    average_bytes: int = Field(default=5_500, ge=1000)
    """The limit for all of a milestone's files compressed together, divided by the number of files."""
    output_kb: int = Field(default=256, ge=1)
    """The limit for printed output. Anything beyond it is dropped."""


class Experiment(FrozenModel):
    """The settings that every milestone's experiment has."""

    demo_runs: int = Field(ge=1)
    """The number of headless runs of the demonstration."""
    weight_noise: float = Field(gt=0, le=0.05)
    """The standard deviation of the noise added to trained weights in a fresh process, relative to that of the
    weights."""


class Symmetry(StrEnum):
    """The ways in which a run may transform a data set's images without changing the task."""

    SQUARE = "square"
    """Images may be rotated by quarter turns and mirrored."""
    MIRRORS = "mirrors"
    """Images may be mirrored along one axis or both."""


class XorExperiment(Experiment):
    """Milestone 1: settings for measuring the XOR network."""

    kind: Literal["xor"]
    seeds: int = Field(ge=2)
    """The number of fresh networks trained on XOR, each with its own seed and square."""
    controls: int = Field(ge=1)
    """The number of networks trained on a different labelling of the corners."""
    noise: float = Field(gt=0, lt=0.25)
    """The standard deviation of the noise on the inputs in the second test, relative to the square's side."""
    copies: int = Field(ge=10)
    """The number of noisy copies of each of the four points."""


class ImageExperiment(Experiment):
    """Settings for measuring a network that classifies images."""

    data: str
    """The data set for training and testing."""
    symmetry: Symmetry
    """The transformations that a run may apply, always to all images in the same way."""
    shift: float = Field(gt=0, le=4)
    """The largest shift of a test image along each axis, in pixels. It is usually a fraction of a pixel."""
    gain: float = Field(gt=0, le=0.5)
    """The largest change in a test image's brightness, as a fraction."""
    noise: float = Field(gt=0, le=32)
    """The standard deviation of the noise on each pixel of a test image, on the scale from 0 to 255."""
    probe_images: int = Field(ge=100)
    """The number of training images on which the grader measures loss and accuracy during training."""
    curve_points: int = Field(ge=10, le=1000)
    """The number of measurements in one training run, between the student's steps."""
    quick_images: int = Field(ge=200)
    """The number of images for rough figures: before training, on known images, and in a fresh process."""
    demo_images: int = Field(ge=100)
    """The number of training images for the demonstration."""


class MnistExperiment(ImageExperiment):
    """Milestone 2: settings for measuring the network that reads digits."""

    kind: Literal["mnist"]
    data: Literal["mnist"] = "mnist"


class Cifar10Experiment(ImageExperiment):
    """Milestone 3: settings for measuring training to convergence."""

    kind: Literal["cifar10"]
    data: Literal["cifar10"] = "cifar10"
    official_seeds: int = Field(ge=1, le=5)
    """The number of training runs in official grading, each with its own seed. A student's machine makes one."""


class KernelsExperiment(ImageExperiment):
    """Milestone 4: settings for measuring accuracy, compression and speed."""

    kind: Literal["kernels"]
    data: Literal["cifar10"] = "cifar10"
    official_seeds: int = Field(ge=1, le=5)
    """The number of training runs in official grading, each with its own seed. A student's machine makes one."""
    calibration_images: int = Field(ge=50)
    """The number of training images from which `compress` may learn the range of activations."""
    turns: int = Field(ge=3)
    """The number of training steps that each side takes in one round. The sides take turns."""
    rounds: int = Field(ge=1)
    """The maximum number of rounds for which the speed is measured. A sufficient speed ends the measurement."""
    baseline_limit: float = Field(gt=1)
    """The limit on the time of module 06's step, as a multiple of the time of the grader's own matrix products."""


class LanguageExperiment(Experiment):
    """Milestone 5: settings for measuring a network that writes, on two generated texts and a real one."""

    kind: Literal["language"]
    data: Literal["shakespeare"] = "shakespeare"
    functions: int = Field(ge=100)
    """The number of functions in the training text."""
    stories: int = Field(ge=100)
    """The number of stories in the training text."""
    prompts: int = Field(ge=10)
    """The number of functions to complete in each of three sets."""
    story_prompts: int = Field(ge=10)
    """The number of stories to finish."""
    fresh_prompts: int = Field(ge=5)
    """The number of prompts from each set that are also given to a network with fresh weights."""
    context_tokens: int = Field(ge=8, le=256)
    """The number of tokens of real text before each scored token."""
    scored_tokens: int = Field(ge=50)
    """The number of scored tokens in held-out real text."""
    samples: int = Field(ge=1)
    """The number of samples of real text to generate."""
    sample_tokens: int = Field(ge=20)
    """The number of tokens in each sample."""
    temperature: float = Field(gt=0, le=2)
    """The temperature for sampling."""
    probe_places: int = Field(ge=10)
    """The number of positions in the training text at which the grader measures the loss during training."""
    curve_points: int = Field(ge=5, le=1000)
    """The number of measurements of the loss in one training run."""


class SealedKey(FrozenModel):
    """Answer keys as salted scrypt digests, which replace the plain-text keys in a release."""

    salt: str
    digests: tuple[str, ...] = Field(min_length=1)


class Question(FrozenModel):
    """The fields that both kinds of capability questions share."""

    id: Slug
    prompt: Sentence
    """The prompt in Markdown. For a number question, it is a Jinja template that contains the question's parameters."""
    read: Sentence
    """The part of the lesson to read after a wrong answer."""


class NumberQuestion(Question):
    """A question whose answer is a number that depends on the student's own parameters."""

    kind: Literal["number"]
    parameters: dict[Slug, tuple[int | float, ...]] = Field(min_length=1)
    """The possible values of each parameter."""
    digits: int = Field(default=0, ge=0, le=6)
    """The number of required decimals."""
    answer: str | None = None
    """A Jinja expression that computes the answer from the parameters. It is absent in a release."""
    sealed: SealedKey | None = None


class ChoiceQuestion(Question):
    """A question with one or more correct options."""

    kind: Literal["choice"]
    right: tuple[Sentence, ...] = ()
    wrong: tuple[Sentence, ...] = ()
    options: tuple[Sentence, ...] = ()
    """All options in neutral order. In a release, they replace `right` and `wrong`."""
    sealed: SealedKey | None = None


class Milestone(FrozenModel):
    """A milestone: a measured capability, and everything that the course says about it."""

    id: int = Field(ge=1)
    name: Sentence
    medal: Sentence
    trigger: ModuleId
    """The module whose completion triggers the milestone's test."""
    status: BuildStatus = BuildStatus.BUILT
    victory: Sentence
    unlocks: Sentence
    capabilities: tuple[Sentence, ...] = Field(min_length=1)
    impact: Sentence
    criteria: tuple[Criterion, ...] = Field(min_length=4)
    environment: Environment = Environment()
    budget: Budget
    experiment: (
        Annotated[
            XorExperiment | MnistExperiment | Cifar10Experiment | KernelsExperiment | LanguageExperiment,
            Field(discriminator="kind"),
        ]
        | None
    ) = None
    """The settings for its measurement. A planned milestone may not have any yet."""
    hints: tuple[Sentence, ...] = Field(min_length=1)
    troubleshooting: tuple[Slug, ...] = Field(min_length=1)
    """The slugs of headings in docs/milestone-troubleshooting.md."""
    questions: tuple[Annotated[NumberQuestion | ChoiceQuestion, Field(discriminator="kind")], ...] = ()

    @property
    def data(self) -> str | None:
        """The name of the data set from which its figures come, or None if it needs none."""
        return getattr(self.experiment, "data", None)

    @property
    def recipe(self) -> Path:
        """The student's file that builds and trains its network, relative to the repository."""
        return Path("modules", self.trigger, "recipe.py")

    @property
    def integration_tests(self) -> Path:
        """The tests of all modules up to its trigger together, relative to the repository."""
        return Path("modules", self.trigger, "test_integration.py")


class LatePolicy(FrozenModel):
    """The cost of lateness: nothing in the grace period, then a share of the score for each of a few days."""

    grace_minutes: int = Field(default=0, ge=0, le=24 * 60)
    off_per_day: float = Field(default=0.0, ge=0, le=1)
    """The share of the score that each day or part-day late costs."""
    days: int = Field(default=0, ge=0, le=365)
    """The number of days after which a push earns nothing."""


class MilestoneDeadline(FrozenModel):
    """A milestone's deadline."""

    milestone: int
    at: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}$")]
    """The day and time in the deadlines' time zone, such as 2026-11-30 23:59."""

    @model_validator(mode="after")
    def _check_day(self) -> MilestoneDeadline:
        """Require a valid day and time."""
        try:
            datetime.fromisoformat(self.at)
        except ValueError:
            raise _build_value_error(
                "at", f"`at: {self.at}` is not a valid time.", "Write it as 2026-11-30 23:59."
            ) from None
        return self


class SectionExtension(FrozenModel):
    """More time for a section of the class. Extensions for individual students are in the private roster."""

    section: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    days: int = Field(ge=1, le=365)
    milestones: tuple[int, ...] = ()
    """The milestones that are extended, or all milestones if none is named."""


class Deadlines(FrozenModel):
    """The deadlines of all milestones. Only the gradebook's score depends on them, not the verdict."""

    timezone: str
    """An IANA name, such as Europe/Berlin. Only instructors' commands look it up, so that it never stops a student."""
    late: LatePolicy = LatePolicy()
    due: tuple[MilestoneDeadline, ...] = Field(min_length=1)
    extensions: tuple[SectionExtension, ...] = ()


class GraderRepository(FrozenModel):
    """The public repository to which a release is pushed. Its workflows grade students' repositories on GitHub."""

    repository: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*$", max_length=140),
    ]
    """The repository as owner/name."""
    ref: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+([._/-][A-Za-z0-9]+)*$", max_length=100)]
    """The branch or tag that students' workflows call."""


class Course(FrozenModel):
    """The course's own name and version, and the repository that grades it on GitHub."""

    name: Sentence
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    grader: GraderRepository | None = None
    """The grader's repository. Without it, a release has no workflows, so that students' repositories never run code
    from a repository that nobody owns.
    """
    solutions: Annotated[str, StringConstraints(pattern=r"^(never|always|\d{4}-\d{2}-\d{2})$")] = "never"
    """When a release includes the solutions: `never`, `always` (for self-learners), or on and after a given day."""

    @model_validator(mode="after")
    def _check_solutions_day(self) -> Course:
        """Require `never`, `always` or a valid day."""
        if self.solutions not in ("never", "always"):
            try:
                date.fromisoformat(self.solutions)
            except ValueError:
                message = f"`solutions: {self.solutions}` is not a valid day."
                raise _build_value_error(
                    "solutions", message, "Write it as 2026-12-20, or `always` or `never`."
                ) from None
        return self

    def includes_solutions(self, release_day: date) -> bool:
        """Return whether a release on this day includes the solutions."""
        if self.solutions in ("never", "always"):
            return self.solutions == "always"
        return release_day >= date.fromisoformat(self.solutions)


class Manifest(FrozenModel):
    """The content of milestones.yaml."""

    course: Course
    modules: tuple[Module, ...] = Field(min_length=1)
    milestones: tuple[Milestone, ...] = Field(min_length=1)
    deadlines: Deadlines | None = None

    def module(self, module_id: str) -> Module:
        """Return the module with this id; raise KeyError if there is none."""
        return _get_first_or_raise((m for m in self.modules if m.id == module_id), module_id)

    def milestone(self, number: int) -> Milestone:
        """Return the milestone with this number; raise KeyError if there is none."""
        return _get_first_or_raise((m for m in self.milestones if m.id == number), number)

    def list_modules_up_to(self, milestone: Milestone) -> tuple[Module, ...]:
        """Return every module up to and including the milestone's trigger."""
        return tuple(m for m in self.modules if m.number <= self.module(milestone.trigger).number)

    def find_triggered_milestone(self, module: Module) -> Milestone | None:
        """Return the milestone that completing this module triggers."""
        return next((m for m in self.milestones if m.trigger == module.id), None)

    def task(self, task_id: str) -> Task:
        """Return the task with this id; raise KeyError if there is none."""
        return _get_first_or_raise((t for m in self.modules for t in m.tasks if t.id == task_id), task_id)


def _get_first_or_raise(items: Iterable[T], key: object) -> T:
    """Return the first item. Raise KeyError with the key if there is none."""
    for item in items:
        return item
    raise KeyError(key)


def make_heading_slug(heading: str) -> str:
    """Make GitHub's anchor for a Markdown heading, as in "Loss is NaN!" → "loss-is-nan"."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.strip().lower()))
