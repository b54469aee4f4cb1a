"""What a well-formed manifest may still have wrong: order, names that must differ, names that must exist.

Each rule takes the manifest and yields findings; none looks at a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grading.manifest.figures import FIGURES
from grading.manifest.model import ChoiceQuestion, Deadlines, Kind, Manifest, Milestone, Module, Status
from grading.manifest.problems import Finding, Path, did_you_mean


def broken_rules(manifest: Manifest) -> Iterator[Finding]:
    """Every rule that the manifest breaks."""
    yield from _modules(manifest)
    for index, module in enumerate(manifest.modules):
        yield from _tasks(module, ("modules", index))
    yield from _milestones(manifest)
    for index, milestone in enumerate(manifest.milestones):
        yield from _milestone(milestone, manifest, ("milestones", index))
        yield from _weights(milestone, ("milestones", index))
    if manifest.deadlines is not None:
        yield from _deadlines(manifest.deadlines, {milestone.id for milestone in manifest.milestones})


def _modules(manifest: Manifest) -> Iterator[Finding]:
    entries = [(("modules", index, "id"), module.id) for index, module in enumerate(manifest.modules)]
    yield from _repeated("module", entries)
    seen: set[str] = set()
    for place, (path, id_) in enumerate(entries, start=1):
        if id_ in seen:
            continue
        seen.add(id_)
        if int(id_[:2]) != place:
            yield Finding(
                path,
                f"module {id_} is out of order: number {place:02} is due here.",
                f"Move it to its place, or call it {place:02}{id_[2:]} (and its folder too).",
            )


def _tasks(module: Module, path: Path) -> Iterator[Finding]:
    entries = [((*path, "tasks", index, "id"), task.id) for index, task in enumerate(module.tasks)]
    yield from _repeated("task", entries)
    last = 0
    for where, id_ in entries:
        prefix, number = map(int, id_.split("."))
        if prefix != module.number:
            mend = f"Call it {module.number}.{number}, or move it to its own module."
            yield Finding(where, f"task {id_} stands in module {module.id}.", mend)
        elif number < last:
            mend = f"Order the tasks by number, as in {module.code}."
            yield Finding(where, f"task {id_} is out of order: it comes after {prefix}.{last}.", mend)
        else:
            last = number
    if module.status is Status.BUILT and not module.tasks:
        yield Finding(path, f"module {module.id} is built and has no tasks.", "Add `tasks:`, or say `status: planned`.")


def _milestones(manifest: Manifest) -> Iterator[Finding]:
    numbers = {module.id: module.number for module in manifest.modules}
    entries = [(("milestones", index, "id"), milestone.id) for index, milestone in enumerate(manifest.milestones)]
    yield from _repeated("milestone", entries)
    seen: set[int] = set()
    last: Milestone | None = None
    for place, (index, milestone) in enumerate(enumerate(manifest.milestones), start=1):
        if milestone.id not in seen and milestone.id != place:
            mend = f"Order the milestones by id, or give this one the id {place}."
            yield Finding(("milestones", index, "id"), f"milestone {milestone.id} is out of order.", mend)
        seen.add(milestone.id)
        where = ("milestones", index, "trigger")
        if milestone.trigger not in numbers:
            message = f"milestone {milestone.id} is triggered by {milestone.trigger}, which is no module."
            yield Finding(where, message, did_you_mean(milestone.trigger, numbers))
            continue
        if last and numbers[milestone.trigger] <= numbers[last.trigger]:
            message = (
                f"milestone {milestone.id} is out of order: its trigger {milestone.trigger} is no later than "
                f"{last.trigger} of milestone {last.id}."
            )
            yield Finding(where, message, "Give it a later trigger, or order the milestones by trigger.")
        last = milestone


def _milestone(milestone: Milestone, manifest: Manifest, path: Path) -> Iterator[Finding]:
    criteria = list(enumerate(milestone.criteria))
    yield from _repeated("criterion", [((*path, "criteria", i, "name"), c.name) for i, c in criteria])
    yield from _repeated("question", [((*path, "questions", i, "id"), q.id) for i, q in enumerate(milestone.questions)])
    topics = [((*path, "troubleshooting", i), slug) for i, slug in enumerate(milestone.troubleshooting)]
    yield from _repeated("topic", topics)
    for index, criterion in criteria:
        if criterion.topic and criterion.topic not in milestone.troubleshooting:
            message = (
                f"criterion {criterion.name} leads to the topic {criterion.topic}, which the milestone does not list."
            )
            where = (*path, "criteria", index, "topic")
            yield Finding(where, message, did_you_mean(criterion.topic, milestone.troubleshooting))
    missing = [kind.value for kind in Kind if kind not in {c.kind for c in milestone.criteria}]
    if missing:
        message = f"milestone {milestone.id} has no criterion of kind {', '.join(missing)}."
        yield Finding((*path, "criteria"), message, "Add one: every milestone is judged by all four kinds.")
    yield from _questions(milestone, path)
    if milestone.status is Status.BUILT:
        yield from _built(milestone, manifest, path)


def _built(milestone: Milestone, manifest: Manifest, path: Path) -> Iterator[Finding]:
    """What a milestone that can be graded must have."""
    if any(module.id == milestone.trigger for module in manifest.modules):
        planned = [m.id for m in manifest.modules_for(milestone) if m.status is Status.PLANNED]
        if planned:
            message = f"milestone {milestone.id} is built, but not yet {', '.join(planned)}."
            yield Finding((*path, "status"), message, "Say `status: planned` until they are.")
    for key, what in (("experiment", "how it is measured"), ("questions", "what a student must understand")):
        if not getattr(milestone, key):
            message = f"milestone {milestone.id} is built and does not say {what}."
            yield Finding(path, message, f"Add `{key}:`, or say `status: planned`.")
    for index, criterion in enumerate(milestone.criteria):
        where = (*path, "criteria", index)
        if criterion.check not in FIGURES:
            message = f"criterion {criterion.name} names the check {criterion.check}, which does not exist."
            yield Finding((*where, "check"), message, did_you_mean(criterion.check, FIGURES))
        elif criterion.figure not in FIGURES[criterion.check]:
            message = f"criterion {criterion.name} names {criterion.figure}, which {criterion.check} does not measure."
            yield Finding((*where, "figure"), message, did_you_mean(criterion.figure, FIGURES[criterion.check]))


def _questions(milestone: Milestone, path: Path) -> Iterator[Finding]:
    """Every question has its answers in clear, or sealed as in a release, and never both."""
    for index, question in enumerate(milestone.questions):
        where = (*path, "questions", index)
        if isinstance(question, ChoiceQuestion):
            clear, sealed, keys = bool(question.right and question.wrong), question.sealed, "`right` and `wrong`"
            mixed = bool(question.sealed) != bool(question.options) or bool(question.right) != bool(question.wrong)
            options = question.options or question.right + question.wrong
            key = "options" if question.options else "wrong"
            if len(set(options)) < len(options):
                yield Finding((*where, key), f"question {question.id} has an option twice.", "Keep one of the two.")
        else:
            clear, sealed, keys, mixed = question.answer is not None, question.sealed, "`answer`", False
        if clear == bool(sealed) or mixed:
            message = f"question {question.id} needs its answer in clear or sealed, and exactly one of them."
            mend = f"In the course write {keys}; `sealed` (with `options` for a choice) is what a release writes."
            yield Finding(where, message, mend)


def _weights(milestone: Milestone, where: Path) -> Iterator[Finding]:
    """Something has to count."""
    if not any(criterion.weight for criterion in milestone.criteria):
        yield Finding((*where, "criteria"), f"no criterion of milestone {milestone.id} counts.", "Give one a weight.")


def _deadlines(deadlines: Deadlines, known: set[int]) -> Iterator[Finding]:
    """Each deadline is of a milestone there is, and the only one; so is each extension."""
    due = [(("deadlines", "due", index, "milestone"), one.milestone) for index, one in enumerate(deadlines.due)]
    yield from _repeated("the deadline of milestone", due)
    named: list[tuple[Path, int]] = [*due]
    for index, extension in enumerate(deadlines.extensions):
        named += [(("deadlines", "extensions", index, "milestones", i), m) for i, m in enumerate(extension.milestones)]
    for path, number in named:
        if number not in known:
            mend = did_you_mean(str(number), map(str, known))
            yield Finding(path, f"there is no milestone {number}.", mend)
    if deadlines.late.off_per_day and not deadlines.late.days:
        message = "`off_per_day` takes something off for late work, and no late day is allowed."
        yield Finding(("deadlines", "late", "off_per_day"), message, "Add `days: …`, or delete `off_per_day`.")


def _repeated(what: str, entries: Iterable[tuple[Path, str | int]]) -> Iterator[Finding]:
    """Entries whose name an earlier one has."""
    seen = set()
    for path, name in entries:
        if name in seen:
            yield Finding(path, f"{what} {name} is there twice.", "Rename or delete one of the two.")
        seen.add(name)
