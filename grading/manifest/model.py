"""The typed manifest: what milestones.yaml may say, and what every reader may rely on."""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=60)]
ModuleId = Annotated[str, StringConstraints(pattern=r"^\d\d_[a-z0-9]+$")]
TaskId = Annotated[str, StringConstraints(pattern=r"^\d{1,2}\.\d{1,2}$")]
Sentence = Annotated[str, StringConstraints(min_length=3, strip_whitespace=True)]
Hint = Annotated[str, StringConstraints(min_length=20, max_length=480, strip_whitespace=True)]


class Frozen(BaseModel):
    """A record: nothing unknown comes in, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Status(StrEnum):
    """Whether a part of the course can be worked on."""

    BUILT = "built"
    PLANNED = "planned"


class Task(Frozen):
    """One numbered gap a student fills."""

    id: TaskId
    title: Sentence
    hints: tuple[Hint, ...] = Field(min_length=3, max_length=3)
    """Three steps, each of which says more: what to think of, how to begin, the lesson's formula or line."""

    @property
    def hint(self) -> str:
        """The step that a failed test shows: how to begin."""
        return self.hints[1]


class Module(Frozen):
    """A folder of the course; its files follow from its id."""

    id: ModuleId
    title: Sentence
    summary: Sentence
    status: Status = Status.BUILT
    imports: tuple[str, ...] = ("math", "numpy")
    """Top-level packages its file may import, besides earlier modules of the course."""
    packages: tuple[str, ...] = ()
    """What has to be installed for it besides the course's own dependencies, as pip writes it: numba>=0.61."""
    tasks: tuple[Task, ...] = ()

    @property
    def number(self) -> int:
        """The part before the name: 2 for 02_tensor."""
        return int(self.id[:2])

    @property
    def name(self) -> str:
        """The part after the number: tensor for 02_tensor."""
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
        """Its tests, relative to the repository."""
        return self.folder / f"test_{self.name}.py"

    @property
    def reference(self) -> Path:
        """Figures from elsewhere that its tests compare with, if it has any; the file says where they are from."""
        return self.folder / "reference.json"

    @property
    def lesson(self) -> Path:
        """Its lesson, relative to the repository."""
        return self.folder / "README.md"


class Kind(StrEnum):
    """The four kinds of criteria every milestone is judged by."""

    CODE_QUALITY = "code_quality"
    PERFORMANCE = "performance"
    RELIABILITY = "reliability"
    UNDERSTANDING = "understanding"


class Unit(StrEnum):
    """What a threshold is measured in; decides its range and how it is printed."""

    FRACTION = "fraction"
    LOSS = "loss"
    COUNT = "count"
    RATIO = "ratio"


class Criterion(Frozen):
    """One measured figure with its threshold."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["at_least"]}, {"required": ["at_most"]}]},
    )

    kind: Kind
    name: Slug
    title: Sentence
    check: Slug
    """The file of grading/checks that measures it."""
    figure: Slug
    """Which figure of that check."""
    unit: Unit
    at_least: float | None = None
    at_most: float | None = None
    why: Sentence
    """One sentence for the student: what the figure says."""
    topic: Slug | None = None
    """The troubleshooting topic that helps when it is not met."""
    weight: float = Field(default=1.0, ge=0, le=100)
    """What it counts among the milestone's criteria; the verdict needs all of them, whatever they count."""
    partial: bool = False
    """Whether one of code quality that is not met still earns the share of its tests that pass."""

    @model_validator(mode="after")
    def _partial_where_tests_are_counted(self) -> Criterion:
        if self.partial and (self.kind is not Kind.CODE_QUALITY or self.unit is not Unit.FRACTION):
            message = f"criterion {self.name} is no share of tests, so it cannot earn a part."
            raise _value_error("partial", message, "Delete `partial`, or set it where module tests are counted.")
        return self

    @model_validator(mode="after")
    def _one_threshold_in_range(self) -> Criterion:
        if self.at_least is None and self.at_most is None:
            mend = "Add `at_least: …` or `at_most: …`."
            raise _value_error("name", f"criterion {self.name} has no threshold.", mend)
        if self.at_least is not None and self.at_most is not None:
            raise _value_error("at_most", f"criterion {self.name} has two thresholds.", "Keep one of the two.")
        top = 1.0 if self.unit is Unit.FRACTION else float("inf")
        if not 0 <= self.threshold <= top:
            message = f"`{self.comparison}: {self.threshold:g}` is out of range for a {self.unit.value}."
            mend = "Write a number from 0 to 1." if top == 1 else "Write a number that is not negative."
            raise _value_error(self.comparison, message, mend)
        return self

    @property
    def threshold(self) -> float:
        """The number, whichever side it bounds."""
        return self.at_least if self.at_least is not None else self.at_most  # type: ignore[return-value]

    @property
    def comparison(self) -> Literal["at_least", "at_most"]:
        """Which side it bounds."""
        return "at_least" if self.at_least is not None else "at_most"

    def met_by(self, measured: float) -> bool:
        """Whether a figure meets the threshold; NaN meets none."""
        return measured >= self.threshold if self.at_least is not None else measured <= self.threshold


def _value_error(key: str, message: str, mend: str) -> PydanticCustomError:
    """What the reader needs to name the line and the repair."""
    return PydanticCustomError("value", "{message} {mend}", {"key": key, "message": message, "mend": mend})


class Environment(Frozen):
    """What the session that grades a milestone is made of."""

    python: str = ">=3.11"
    packages: tuple[str, ...] = ("numpy>=2.0,<3",)


class Budget(Frozen):
    """How much student code may use before it is stopped.

    Seconds are CPU seconds, whatever their names say: a busy machine makes right code late, not costly. How long it may
    then take on the clock follows from them, in `grading.limits`.
    """

    wall_seconds: float = Field(gt=0)
    """All student code in one worker."""
    call_seconds: float = Field(gt=0)
    """One call of a module test."""
    train_seconds: float = Field(gt=0)
    """One training run, with what the grader asks the network meanwhile."""
    memory_mb: int = Field(ge=64)
    """Address space of one worker."""
    threads: int = Field(default=1, ge=1, le=64)
    """For NumPy's matrix products."""
    module_bytes: int = Field(default=16_000, ge=1000)
    """What the file of a module may hold: its length once lzma has compressed it."""
    recipe_bytes: int = Field(default=6_000, ge=1000)
    """The same for a recipe."""
    average_bytes: int = Field(default=5_500, ge=1000)
    """What all files of a milestone may hold when they are compressed as one, for each of them."""
    output_kb: int = Field(default=256, ge=1)
    """What student code may print before the rest is dropped."""


class Experiment(Frozen):
    """What every milestone's experiment says."""

    demo_runs: int = Field(ge=1)
    """How often the demonstration runs headless."""
    weight_noise: float = Field(gt=0, le=0.05)
    """Standard deviation of what is added to trained weights on their way to a fresh process, relative to their own."""


class Symmetry(StrEnum):
    """How a run may turn a data set's images without making the task another."""

    SQUARE = "square"
    """By any number of quarters, mirrored or not."""
    MIRRORS = "mirrors"
    """Mirrored along either axis or both."""


class XorExperiment(Experiment):
    """Milestone 1: how the XOR network is measured."""

    kind: Literal["xor"]
    seeds: int = Field(ge=2)
    """Fresh networks trained on XOR, each from its own seed and on its own square."""
    controls: int = Field(ge=1)
    """Networks trained on another labeling of the corners."""
    noise: float = Field(gt=0, lt=0.25)
    """Standard deviation of what is added to the inputs in the second reading, relative to the square's side."""
    copies: int = Field(ge=10)
    """Noisy copies of each of the four points."""


class ImageExperiment(Experiment):
    """How a network that names images is measured."""

    data: str
    """The data set it is trained and tested on."""
    symmetry: Symmetry
    """How a run may turn all images alike."""
    shift: float = Field(gt=0, le=4)
    """By up to so many pixels each test image is moved, along both axes, mostly by a fraction of one."""
    gain: float = Field(gt=0, le=0.5)
    """By up to this share each test image becomes brighter or darker."""
    noise: float = Field(gt=0, le=32)
    """Standard deviation, in steps of 255, of what is added to each pixel of a test image."""
    probe_images: int = Field(ge=100)
    """Training images on which the grader measures loss and accuracy while training goes on."""
    curve_points: int = Field(ge=10, le=1000)
    """So often in one training run it measures them, between the student's steps."""
    quick_images: int = Field(ge=200)
    """Images that are enough where a rough figure is: before training, on known images, and in a fresh process."""
    demo_images: int = Field(ge=100)
    """Training images of the demonstration."""


class MnistExperiment(ImageExperiment):
    """Milestone 2: how the network that reads digits is measured."""

    kind: Literal["mnist"]
    data: Literal["mnist"] = "mnist"


class Cifar10Experiment(ImageExperiment):
    """Milestone 3: how training to convergence is measured."""

    kind: Literal["cifar10"]
    data: Literal["cifar10"] = "cifar10"
    official_seeds: int = Field(ge=1, le=5)
    """Training runs of an official grading, each from its own seed; at a desk there is one."""


class KernelsExperiment(ImageExperiment):
    """Milestone 4: how accuracy, compression and speed are measured."""

    kind: Literal["kernels"]
    data: Literal["cifar10"] = "cifar10"
    official_seeds: int = Field(ge=1, le=5)
    """Training runs of an official grading, each from its own seed; at a desk there is one."""
    calibration_images: int = Field(ge=50)
    """Training images from which `compress` may learn how large activations get."""
    turns: int = Field(ge=3)
    """Training steps that each side takes in one round, by turns."""
    rounds: int = Field(ge=1)
    """How often the speed is measured at most, until it suffices."""
    baseline_limit: float = Field(gt=1)
    """So many times what the grader's own matrix products take a step of module 06 counts at most."""


class LanguageExperiment(Experiment):
    """Milestone 5: how a network that writes is measured, on two texts that the grader makes and a real one."""

    kind: Literal["language"]
    data: Literal["shakespeare"] = "shakespeare"
    functions: int = Field(ge=100)
    """Functions of the training text."""
    stories: int = Field(ge=100)
    """Stories of the training text."""
    prompts: int = Field(ge=10)
    """Functions that are asked for, in each of three sets."""
    story_prompts: int = Field(ge=10)
    """Stories whose end is asked for."""
    fresh_prompts: int = Field(ge=5)
    """Of each set, so many are asked with fresh weights too."""
    context_tokens: int = Field(ge=8, le=256)
    """Tokens of real text before each that is scored."""
    scored_tokens: int = Field(ge=50)
    """Held-out tokens of real text whose probability counts."""
    samples: int = Field(ge=1)
    """Samples of real text."""
    sample_tokens: int = Field(ge=20)
    """Tokens of each."""
    temperature: float = Field(gt=0, le=2)
    """At which samples are drawn."""
    probe_places: int = Field(ge=10)
    """Places of the training text at which the grader measures the loss while training goes on."""
    curve_points: int = Field(ge=5, le=1000)
    """So often in one training run it measures it."""


class Sealed(Frozen):
    """Answer keys as salted scrypt digests, in place of clear ones in a release."""

    salt: str
    digests: tuple[str, ...] = Field(min_length=1)


class Question(Frozen):
    """What both kinds of capability question have."""

    id: Slug
    prompt: Sentence
    """Markdown; a number question's prompt is a Jinja template over its parameters."""
    read: Sentence
    """Where the lesson answers it, for a student who got it wrong."""


class NumberQuestion(Question):
    """A question answered by a number that depends on the student's own parameters."""

    kind: Literal["number"]
    parameters: dict[Slug, tuple[int | float, ...]] = Field(min_length=1)
    """Values each parameter may take."""
    digits: int = Field(default=0, ge=0, le=6)
    """Decimals asked for."""
    answer: str | None = None
    """A Jinja expression over the parameters; absent in a release."""
    sealed: Sealed | None = None


class ChoiceQuestion(Question):
    """A question with one or more right options."""

    kind: Literal["choice"]
    right: tuple[Sentence, ...] = ()
    wrong: tuple[Sentence, ...] = ()
    options: tuple[Sentence, ...] = ()
    """All options in neutral order, in a release, instead of `right` and `wrong`."""
    sealed: Sealed | None = None


class Milestone(Frozen):
    """A measured capability and everything that is said about it."""

    id: int = Field(ge=1)
    name: Sentence
    medal: Sentence
    trigger: ModuleId
    """The module whose completion sets off the milestone's test."""
    status: Status = Status.BUILT
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
    """How it is measured; a planned milestone may not have one yet."""
    hints: tuple[Sentence, ...] = Field(min_length=1)
    troubleshooting: tuple[Slug, ...] = Field(min_length=1)
    """Headings (slugs) of docs/milestone-troubleshooting.md."""
    questions: tuple[Annotated[NumberQuestion | ChoiceQuestion, Field(discriminator="kind")], ...] = ()

    @property
    def data(self) -> str | None:
        """The data set its figures come from, if it needs one."""
        return getattr(self.experiment, "data", None)

    @property
    def recipe(self) -> Path:
        """How its network is built and trained: the student's file, relative to the repository."""
        return Path("modules", self.trigger, "recipe.py")

    @property
    def integration_tests(self) -> Path:
        """The tests of everything up to its trigger together, relative to the repository."""
        return Path("modules", self.trigger, "test_integration.py")


class LatePolicy(Frozen):
    """What lateness costs: nothing within the grace, then a share of the score for each day begun, for so many days."""

    grace_minutes: int = Field(default=0, ge=0, le=24 * 60)
    off_per_day: float = Field(default=0.0, ge=0, le=1)
    """Share of the score that each day begun takes."""
    days: int = Field(default=0, ge=0, le=365)
    """What is pushed later than this many days after the deadline scores nothing."""


class Due(Frozen):
    """When a milestone is due."""

    milestone: int
    at: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}$")]
    """Day and time in the deadlines' time zone: 2026-11-30 23:59."""

    @model_validator(mode="after")
    def _a_day_that_exists(self) -> Due:
        try:
            datetime.fromisoformat(self.at)
        except ValueError:
            raise _value_error("at", f"`at: {self.at}` is no day and time.", "Write it as 2026-11-30 23:59.") from None
        return self


class Extension(Frozen):
    """More time for a section of the class. More time for one student stands in the roster, which nobody is given."""

    section: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    days: int = Field(ge=1, le=365)
    milestones: tuple[int, ...] = ()
    """Which milestones; all of them when none is named."""


class Deadlines(Frozen):
    """Until when each milestone is to be pushed. The verdict does not depend on it, only the gradebook's score."""

    timezone: str
    """An IANA name: Europe/Berlin. Only instructors' commands look it up (`load_at_desk`): it must stop no student."""
    late: LatePolicy = LatePolicy()
    due: tuple[Due, ...] = Field(min_length=1)
    extensions: tuple[Extension, ...] = ()


class Grader(Frozen):
    """The public repository that a release is pushed to: what grades students' repositories on GitHub."""

    repository: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*$", max_length=140),
    ]
    """owner/name."""
    ref: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+([._/-][A-Za-z0-9]+)*$", max_length=100)]
    """Its branch or tag that students' workflows call."""


class Course(Frozen):
    """The course's own name and version, and where it is graded on GitHub."""

    name: Sentence
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    grader: Grader | None = None
    """Without it a release has no workflows: students' repositories must never run a repository nobody owns."""
    solutions: Annotated[str, StringConstraints(pattern=r"^(never|always|\d{4}-\d{2}-\d{2})$")] = "never"
    """Whether a release carries the solutions: `always` for people who learn by themselves, or from a day on."""

    @model_validator(mode="after")
    def _a_day_that_exists(self) -> Course:
        if self.solutions not in ("never", "always"):
            try:
                date.fromisoformat(self.solutions)
            except ValueError:
                message = f"`solutions: {self.solutions}` is not a day."
                raise _value_error("solutions", message, "Write it as 2026-12-20, or `always` or `never`.") from None
        return self

    def gives_solutions(self, today: date) -> bool:
        """Whether a release of this day carries them."""
        if self.solutions in ("never", "always"):
            return self.solutions == "always"
        return today >= date.fromisoformat(self.solutions)


class Manifest(Frozen):
    """milestones.yaml, whole."""

    course: Course
    modules: tuple[Module, ...] = Field(min_length=1)
    milestones: tuple[Milestone, ...] = Field(min_length=1)
    deadlines: Deadlines | None = None

    def module(self, id_: str) -> Module:
        """The module with this id; KeyError when there is none."""
        return next_or_key_error((m for m in self.modules if m.id == id_), id_)

    def milestone(self, number: int) -> Milestone:
        """The milestone with this number; KeyError when there is none."""
        return next_or_key_error((m for m in self.milestones if m.id == number), number)

    def modules_for(self, milestone: Milestone) -> tuple[Module, ...]:
        """Every module up to and including the milestone's trigger."""
        return tuple(m for m in self.modules if m.number <= self.module(milestone.trigger).number)

    def triggered_by(self, module: Module) -> Milestone | None:
        """The milestone that completing this module sets off."""
        return next((m for m in self.milestones if m.trigger == module.id), None)

    def task(self, id_: str) -> Task:
        """The task with this id; KeyError when there is none."""
        return next_or_key_error((t for m in self.modules for t in m.tasks if t.id == id_), id_)


def next_or_key_error(found, key):
    """The first of an iterator, or KeyError naming what was looked for."""
    for item in found:
        return item
    raise KeyError(key)


def slug(heading: str) -> str:
    """GitHub's anchor for a Markdown heading: "Loss is NaN!" → "loss-is-nan"."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.strip().lower()))
