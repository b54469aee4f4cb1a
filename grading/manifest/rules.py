"""Rules that go beyond the manifest's form, about order, unique names, and names that must exist.

Each rule takes the manifest and yields findings. No rule opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grading.manifest.check_figures import CHECK_FIGURES
from grading.manifest.model import BuildStatus, ChoiceQuestion, CriterionKind, Deadlines, Manifest, Milestone, Module
from grading.manifest.problems import Finding, KeyPath, suggest_name


def find_broken_rules(manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding for each violation of a rule, such as a duplicate name, wrong order or unknown reference."""
    yield from _check_modules(manifest)
    for index, module in enumerate(manifest.modules):
        yield from _check_tasks(module, ("modules", index))
    yield from _check_milestones(manifest)
    for index, milestone in enumerate(manifest.milestones):
        yield from _check_milestone(milestone, manifest, ("milestones", index))
        yield from _check_weights(milestone, ("milestones", index))
    if manifest.deadlines is not None:
        yield from _check_deadlines(manifest.deadlines, {milestone.id for milestone in manifest.milestones})


def _check_modules(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings for duplicate modules and modules out of order."""
    entries = [(("modules", index, "id"), module.id) for index, module in enumerate(manifest.modules)]
    yield from _find_duplicates("module", entries)
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


def _check_tasks(module: Module, path: KeyPath) -> Iterator[Finding]:
    """Yield findings for duplicate or misplaced tasks, tasks out of order, and a built module without tasks."""
    entries = [((*path, "tasks", index, "id"), task.id) for index, task in enumerate(module.tasks)]
    yield from _find_duplicates("task", entries)
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
    if module.status is BuildStatus.BUILT and not module.tasks:
        yield Finding(path, f"module {module.id} is built but has no tasks.", "Add `tasks:`, or set `status: planned`.")


def _check_milestones(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings for duplicate milestones, milestones out of order, and unknown triggers."""
    numbers = {module.id: module.number for module in manifest.modules}
    entries = [(("milestones", index, "id"), milestone.id) for index, milestone in enumerate(manifest.milestones)]
    yield from _find_duplicates("milestone", entries)
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
            yield Finding(where, message, suggest_name(milestone.trigger, numbers))
            continue
        if last and numbers[milestone.trigger] <= numbers[last.trigger]:
            message = (
                f"milestone {milestone.id} is out of order: its trigger {milestone.trigger} does not come after "
                f"{last.trigger} of milestone {last.id}."
            )
            yield Finding(where, message, "Give it a later trigger, or order the milestones by trigger.")
        last = milestone


def _check_milestone(milestone: Milestone, manifest: Manifest, path: KeyPath) -> Iterator[Finding]:
    """Yield findings for one milestone's names, topics, kinds of criteria, answers and, if it is built, parts."""
    criteria = list(enumerate(milestone.criteria))
    yield from _find_duplicates("criterion", [((*path, "criteria", i, "name"), c.name) for i, c in criteria])
    yield from _find_duplicates(
        "question", [((*path, "questions", i, "id"), q.id) for i, q in enumerate(milestone.questions)]
    )
    topics = [((*path, "troubleshooting", i), slug) for i, slug in enumerate(milestone.troubleshooting)]
    yield from _find_duplicates("topic", topics)
    for index, criterion in criteria:
        if criterion.topic and criterion.topic not in milestone.troubleshooting:
            message = (
                f"criterion {criterion.name} refers to the topic {criterion.topic}, which the milestone does not list."
            )
            where = (*path, "criteria", index, "topic")
            yield Finding(where, message, suggest_name(criterion.topic, milestone.troubleshooting))
    missing = [kind.value for kind in CriterionKind if kind not in {c.kind for c in milestone.criteria}]
    if missing:
        message = f"milestone {milestone.id} has no criterion of kind {', '.join(missing)}."
        yield Finding((*path, "criteria"), message, "Add one, because every milestone is judged by all four kinds.")
    yield from _check_answer_keys(milestone, path)
    if milestone.status is BuildStatus.BUILT:
        yield from _check_built_milestone(milestone, manifest, path)


def _check_built_milestone(milestone: Milestone, manifest: Manifest, path: KeyPath) -> Iterator[Finding]:
    """Yield findings for a built milestone's unbuilt modules, missing parts, and unknown checks or figures."""
    if any(module.id == milestone.trigger for module in manifest.modules):
        planned = [m.id for m in manifest.list_modules_up_to(milestone) if m.status is BuildStatus.PLANNED]
        if planned:
            message = f"milestone {milestone.id} is built, but these modules are not: {', '.join(planned)}."
            yield Finding((*path, "status"), message, "Set `status: planned` until they are built.")
    for key, what in (("experiment", "how it is measured"), ("questions", "what a student must understand")):
        if not getattr(milestone, key):
            message = f"milestone {milestone.id} is built but does not say {what}."
            yield Finding(path, message, f"Add `{key}:`, or set `status: planned`.")
    for index, criterion in enumerate(milestone.criteria):
        where = (*path, "criteria", index)
        if criterion.check not in CHECK_FIGURES:
            message = f"criterion {criterion.name} names the check {criterion.check}, which does not exist."
            yield Finding((*where, "check"), message, suggest_name(criterion.check, CHECK_FIGURES))
        elif criterion.figure not in CHECK_FIGURES[criterion.check]:
            message = f"criterion {criterion.name} names {criterion.figure}, which {criterion.check} does not measure."
            yield Finding((*where, "figure"), message, suggest_name(criterion.figure, CHECK_FIGURES[criterion.check]))


def _check_answer_keys(milestone: Milestone, path: KeyPath) -> Iterator[Finding]:
    """Yield findings for repeated options, and for questions without exactly one of a plain and a sealed answer."""
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
            message = f"question {question.id} needs either a plain-text answer or a sealed one, but not both."
            repair = f"In the course write {keys}; `sealed` (with `options` for a choice) is what a release writes."
            yield Finding(where, message, repair)


def _check_weights(milestone: Milestone, where: KeyPath) -> Iterator[Finding]:
    """Yield a finding if every criterion of the milestone has the weight 0."""
    if not any(criterion.weight for criterion in milestone.criteria):
        message = f"no criterion of milestone {milestone.id} has a weight."
        yield Finding((*where, "criteria"), message, "Give one a weight.")


def _check_deadlines(deadlines: Deadlines, known_milestones: set[int]) -> Iterator[Finding]:
    """Yield findings for unknown milestones, duplicate deadlines, and deductions without late days."""
    due = [(("deadlines", "due", index, "milestone"), one.milestone) for index, one in enumerate(deadlines.due)]
    yield from _find_duplicates("the deadline of milestone", due)
    named: list[tuple[KeyPath, int]] = [*due]
    for index, extension in enumerate(deadlines.extensions):
        named += [(("deadlines", "extensions", index, "milestones", i), m) for i, m in enumerate(extension.milestones)]
    for path, number in named:
        if number not in known_milestones:
            repair = suggest_name(str(number), map(str, known_milestones))
            yield Finding(path, f"there is no milestone {number}.", repair)
    if deadlines.late.off_per_day and not deadlines.late.days:
        message = "`off_per_day` takes points off late work, but no late days are allowed."
        yield Finding(("deadlines", "late", "off_per_day"), message, "Add `days: …`, or delete `off_per_day`.")


def _find_duplicates(entry_kind: str, entries: Iterable[tuple[KeyPath, str | int]]) -> Iterator[Finding]:
    """Yield findings for entries that have the same name as an earlier entry."""
    seen = set()
    for path, name in entries:
        if name in seen:
            yield Finding(path, f"{entry_kind} {name} appears twice.", "Rename or delete one of the two.")
        seen.add(name)
