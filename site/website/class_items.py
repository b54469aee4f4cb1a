"""Tasks, questions and criteria across a class: how often each is failed, and how well it separates students."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from desk.item_statistics import PASSED, ItemOutcome, ItemStatistics, analyse_items
from grading.manifest.model import Manifest
from website.student_summary import MissedItem, StudentSummary


@dataclass(frozen=True)
class ClassItem:
    """One task, question or criterion, across the class."""

    id: str
    title: str
    where: str
    """The path of the module's or the milestone's page."""
    failed: int
    """The number of students who failed the item at least once."""
    records: int
    """The number of records, over all students, in which the item failed."""
    open: int
    """The number of students who fail the item in their latest record."""
    statistics: ItemStatistics
    milestone: int | None = None
    """The milestone that requires the item; None for a task."""

    @property
    def graded_student_count(self) -> int:
        """The number of students whose work on the item was graded."""
        return self.statistics.met

    @property
    def percent(self) -> float:
        """The percentage of the graded students who failed the item at least once."""
        return 100 * self.failed / self.graded_student_count if self.graded_student_count else 0.0


@dataclass(frozen=True)
class ClassItems:
    """All items of a class, most often failed first."""

    tasks: tuple[ClassItem, ...]
    questions: tuple[ClassItem, ...]
    criteria: tuple[ClassItem, ...]


ItemLabel = tuple[str, str, str, int | None]
"""The id, title, page and milestone of an item."""


def analyse_class_items(students: list[StudentSummary], manifest: Manifest) -> ClassItems:
    """Rank graded tasks, questions and criteria by the share of students who failed, among those graded on the item."""
    tasks = {module.id: [task.id for task in module.tasks] for module in manifest.modules}
    questions = {m.id: [f"{m.id}/{question.id}" for question in m.questions] for m in manifest.milestones}
    missed_tasks = [{t: s.tasks.get(t) for m in s.graded for t in tasks.get(m, ())} for s in students]
    missed_questions = [{q: s.questions.get(q) for m in s.asked for q in questions.get(m, ())} for s in students]
    missed_criteria = [{criterion: s.criteria.get(criterion) for criterion in s.measured} for s in students]
    return ClassItems(
        tasks=_rank_items(_list_task_labels(manifest), missed_tasks),
        questions=_rank_items(_list_question_labels(manifest), missed_questions),
        criteria=_rank_items(_list_criterion_labels(manifest), missed_criteria),
    )


def _list_task_labels(manifest: Manifest) -> Iterator[ItemLabel]:
    """List each task with its title and page."""
    for module in manifest.modules:
        yield from ((task.id, task.title, f"course/{module.id}.html", None) for task in module.tasks)


def _list_question_labels(manifest: Manifest) -> Iterator[ItemLabel]:
    """List each question with its title, page and milestone."""
    for milestone in manifest.milestones:
        for question in milestone.questions:
            title = question.id.replace("_", " ").capitalize()
            yield f"{milestone.id}/{question.id}", title, f"course/milestone-{milestone.id}.html", milestone.id


def _list_criterion_labels(manifest: Manifest) -> Iterator[ItemLabel]:
    """List each criterion with its title, page and milestone."""
    for milestone in manifest.milestones:
        for criterion in milestone.criteria:
            where = f"course/milestone-{milestone.id}.html"
            yield f"{milestone.id}/{criterion.name}", criterion.title, where, milestone.id


def _rank_items(named: Iterable[ItemLabel], missed_items: list[dict[str, MissedItem | None]]) -> tuple[ClassItem, ...]:
    """Rank the items that somebody attempted by the share of students who failed. ``missed_items`` are by student."""
    known = {name[0]: name for name in named}
    outcomes: list[dict[str, ItemOutcome]] = [
        {i: m.outcome if m else PASSED for i, m in one.items()} for one in missed_items
    ]
    statistics = analyse_items(outcomes, list(known))
    found = []
    for id_, title, where, milestone in known.values():
        missed = [m for one in missed_items if (m := one.get(id_)) is not None]
        records, still_open = sum(m.records for m in missed), sum(m.open for m in missed)
        found.append(ClassItem(id_, title, where, len(missed), records, still_open, statistics[id_], milestone))
    return tuple(sorted((i for i in found if i.graded_student_count), key=lambda i: (-i.percent, -i.records)))
