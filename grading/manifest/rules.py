"""Rules beyond the manifest's form: order, unique names, names that must exist.

Each rule takes the manifest and yields findings; no rule opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grading.manifest.figures import FIGURES
from grading.manifest.model import ChoiceQuestion, Deadlines, Kind, Manifest, Milestone, Module, Status
from grading.manifest.problems import Finding, Path, did_you_mean


def broken_rules(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding for every rule that the manifest breaks."""
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
    """Yield duplicate modules and modules out of order."""
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
                f"module {id_} is out of order: number {place:02} belongs here.",
                f"Move it to its place, or rename it and its folder to {place:02}{id_[2:]}.",
            )


def _tasks(module: Module, path: Path) -> Iterator[Finding]:
    """Yield duplicate tasks, tasks out of order or in the wrong module, and a built module without tasks."""
    entries = [((*path, "tasks", index, "id"), task.id) for index, task in enumerate(module.tasks)]
    yield from _repeated("task", entries)
    last = 0
    for where, id_ in entries:
        prefix, number = map(int, id_.split("."))
        if prefix != module.number:
            repair = f"Call it {module.number}.{number}, or move it to its own module."
            yield Finding(where, f"task {id_} is in module {module.id}.", repair)
        elif number < last:
            repair = f"Order the tasks by number, as in {module.code}."
            yield Finding(where, f"task {id_} is out of order: it comes after {prefix}.{last}.", repair)
        else:
            last = number
    if module.status is Status.BUILT and not module.tasks:
        yield Finding(path, f"module {module.id} is built but has no tasks.", "Add `tasks:`, or set `status: planned`.")


def _milestones(manifest: Manifest) -> Iterator[Finding]:
    """Yield duplicate milestones, milestones out of order, and unknown triggers."""
    numbers = {module.id: module.number for module in manifest.modules}
    entries = [(("milestones", index, "id"), milestone.id) for index, milestone in enumerate(manifest.milestones)]
    yield from _repeated("milestone", entries)
    seen: set[int] = set()
    last: Milestone | None = None
    for place, (index, milestone) in enumerate(enumerate(manifest.milestones), start=1):
        if milestone.id not in seen and milestone.id != place:
            repair = f"Order the milestones by id, or give this one the id {place}."
            yield Finding(("milestones", index, "id"), f"milestone {milestone.id} is out of order.", repair)
        seen.add(milestone.id)
        where = ("milestones", index, "trigger")
        if milestone.trigger not in numbers:
            message = f"milestone {milestone.id} is triggered by {milestone.trigger}, which is not a module."
            yield Finding(where, message, did_you_mean(milestone.trigger, numbers))
            continue
        if last and numbers[milestone.trigger] <= numbers[last.trigger]:
            message = (
                f"milestone {milestone.id} is out of order: its trigger {milestone.trigger} does not come after "
                f"{last.trigger} of milestone {last.id}."
            )
            yield Finding(where, message, "Give it a later trigger, or order the milestones by trigger.")
        last = milestone


def _milestone(milestone: Milestone, manifest: Manifest, path: Path) -> Iterator[Finding]:
    """Yield what is wrong inside one milestone: duplicate names, unknown topics, missing kinds of criteria."""
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
        yield Finding((*path, "criteria"), message, "Add one, as every milestone is judged by all four kinds.")
    yield from _questions(milestone, path)
    if milestone.status is Status.BUILT:
        yield from _built(milestone, manifest, path)


def _built(milestone: Milestone, manifest: Manifest, path: Path) -> Iterator[Finding]:
    """Yield what a milestone that can be graded lacks."""
    if any(module.id == milestone.trigger for module in manifest.modules):
        planned = [m.id for m in manifest.modules_for(milestone) if m.status is Status.PLANNED]
        if planned:
            message = f"milestone {milestone.id} is built, but {', '.join(planned)} not yet."
            yield Finding((*path, "status"), message, "Set `status: planned` until they are built.")
    for key, what in (("experiment", "how it is measured"), ("questions", "what a student must understand")):
        if not getattr(milestone, key):
            message = f"milestone {milestone.id} is built but does not say {what}."
            yield Finding(path, message, f"Add `{key}:`, or set `status: planned`.")
    for index, criterion in enumerate(milestone.criteria):
        where = (*path, "criteria", index)
        if criterion.check not in FIGURES:
            message = f"criterion {criterion.name} names the check {criterion.check}, which does not exist."
            yield Finding((*where, "check"), message, did_you_mean(criterion.check, FIGURES))
        elif criterion.figure not in FIGURES[criterion.check]:
            message = f"criterion {criterion.name} names {criterion.figure}, which {criterion.check} does not measure."
            yield Finding((*where, "figure"), message, did_you_mean(criterion.figure, FIGURES[criterion.check]))


def _questions(milestone: Milestone, path: Path) -> Iterator[Finding]:
    """Yield questions whose answers are not either in clear or sealed, as in a release."""
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
            message = f"question {question.id} needs its answer in clear or sealed, but not both."
            repair = f"In the course write {keys}; `sealed` (with `options` for a choice) is what a release writes."
            yield Finding(where, message, repair)


def _weights(milestone: Milestone, where: Path) -> Iterator[Finding]:
    """Require that at least one criterion has a weight."""
    if not any(criterion.weight for criterion in milestone.criteria):
        message = f"no criterion of milestone {milestone.id} has a weight."
        yield Finding((*where, "criteria"), message, "Give one a weight.")


def _deadlines(deadlines: Deadlines, known: set[int]) -> Iterator[Finding]:
    """Yield deadlines and extensions of unknown milestones, and duplicate deadlines."""
    due = [(("deadlines", "due", index, "milestone"), one.milestone) for index, one in enumerate(deadlines.due)]
    yield from _repeated("the deadline of milestone", due)
    named: list[tuple[Path, int]] = [*due]
    for index, extension in enumerate(deadlines.extensions):
        named += [(("deadlines", "extensions", index, "milestones", i), m) for i, m in enumerate(extension.milestones)]
    for path, number in named:
        if number not in known:
            repair = did_you_mean(str(number), map(str, known))
            yield Finding(path, f"there is no milestone {number}.", repair)
    if deadlines.late.off_per_day and not deadlines.late.days:
        message = "`off_per_day` takes points off late work, but no late days are allowed."
        yield Finding(("deadlines", "late", "off_per_day"), message, "Add `days: …`, or delete `off_per_day`.")


def _repeated(what: str, entries: Iterable[tuple[Path, str | int]]) -> Iterator[Finding]:
    """Yield entries whose name an earlier entry has."""
    seen = set()
    for path, name in entries:
        if name in seen:
            yield Finding(path, f"{what} {name} appears twice.", "Rename or delete one of the two.")
        seen.add(name)
