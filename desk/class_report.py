"""The class report as data, computed from a gradebook: how far each student is, who is stuck and what fails most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from desk.decisions import CourseVersion
from desk.gradebook import Gradebook, Visit
from desk.item_statistics import ItemOutcome, ItemStatistics, analyse_items
from desk.roster import RosterRow
from desk.scores import FULL, Score, compute_scores, find_preview_gradings
from desk.stale import find_stale_grades
from desk.stuck import StuckScore, rank_by_stuck_score, select_stuck_students
from grading.checks.quiz_answers import OPEN_TITLE, extract_question_id, says_wrong_answer
from grading.manifest.model import BuildStatus, Manifest, Milestone

STATES = ("unlocked", "provisional", "not_yet", "error", "not_begun")
WORDS = {
    "unlocked": "unlocked",
    "provisional": "provisional",
    "not_yet": "not yet",
    "error": "not judged",
    "not_begun": "not begun",
}
ItemKind = Literal["failure", "question", "criterion"]
BINS = 10
"""The number of bars in a histogram."""


@dataclass(frozen=True)
class MilestoneSummary:
    """A summary of one milestone over the class."""

    milestone: int
    name: str
    counts: Mapping[str, int]
    """The number of students in each state, in the order of `STATES`."""
    mean: float | None
    """The mean points of the students who have any."""
    late: int
    histogram: tuple[int, ...]
    """The number of students with 0 to 10 points, with 10 to 20, and so on. The last bar includes bonus points."""


@dataclass(frozen=True)
class SectionSummary:
    """One section of the class. Students without a section form a section without a name."""

    name: str
    students: int
    having: tuple[int, ...]
    """For each available milestone, the number of students who have unlocked it."""
    means: tuple[float | None, ...]
    """For each milestone, the mean points of the students who have any."""
    total: float
    """The mean of the students' total points."""


@dataclass(frozen=True)
class StudentLine:
    """One student."""

    row: RosterRow
    scores: tuple[Score, ...]
    total: float
    visit: Visit | None
    stale: tuple[tuple[str, ...], ...] = ()
    """The reasons why each score may be out of date; a current score has none."""
    is_stuck: bool = False

    @property
    def is_stale(self) -> bool:
        """Whether any score may be out of date."""
        return any(self.stale)


@dataclass(frozen=True)
class StuckStudent:
    """A student who has tried a milestone but has not unlocked it."""

    row: RosterRow
    milestone: int
    first_failure: str
    tries: int
    """The number of consecutive results, up to the newest, that have the same first failure."""
    days: int
    """The number of days since the first of those results."""
    score: int


@dataclass(frozen=True)
class ReportItem:
    """An item that students can fail: a task's test, a question or a criterion."""

    milestone: int
    kind: ItemKind
    title: str
    students: int
    of: int
    """The number of students who have started the milestone."""
    statistics: ItemStatistics


@dataclass(frozen=True)
class ClassReport:
    """Everything the report shows."""

    course: str
    at: datetime | None
    """The time at which any repository was last visited; None before the first collection."""
    lines: tuple[StudentLine, ...]
    distributions: tuple[MilestoneSummary, ...]
    sections: tuple[SectionSummary, ...]
    """The roster's sections; empty if it has none."""
    stuck: tuple[StuckStudent, ...]
    trying: int
    """The number of milestones that were tried but are not unlocked, summed over all students."""
    items: tuple[ReportItem, ...]
    questions: tuple[ReportItem, ...]
    criteria: tuple[ReportItem, ...]
    troubles: tuple[tuple[RosterRow, str], ...]

    @property
    def earlier_grade_count(self) -> int:
        """The number of grades that come from an earlier version of the course."""
        return sum(not score.is_current for line in self.lines for score in line.scores)

    @property
    def stale_grade_count(self) -> int:
        """The number of grades that may be out of date."""
        return sum(bool(reasons) for line in self.lines for reasons in line.stale)


def build_class_report(book: Gradebook, manifest: Manifest, today: CourseVersion | None = None) -> ClassReport:
    """Build the report from a gradebook; grades from any version of the course but ``today`` are marked."""
    rows, visits = book.list_students(), book.read_visits()
    reached = compute_scores(book, manifest, today=today.digest if today else None)
    built = [milestone for milestone in manifest.milestones if milestone.status is BuildStatus.BUILT]
    at = max((visits[row.id].at for row in rows if row.id in visits), default=None)
    history = _load_attempts(book, {row.id for row in rows})
    newest = {key: results[-1] for key, results in history.items()}
    stuck, trying = _find_stuck_students(rows, history, at)
    named = {one.row.id for one in stuck}
    stale = find_stale_grades(book, reached, at)
    lines = tuple(
        StudentLine(
            row,
            tuple(reached[row.id][m.id] for m in built),
            round(sum(reached[row.id][m.id].points or 0.0 for m in built), 2),
            visits.get(row.id),
            tuple(stale.get((row.id, m.id), ()) for m in built),
            row.id in named,
        )
        for row in rows
    )
    items = _build_report_items(newest, history, built)
    return ClassReport(
        course=f"{manifest.course.name} {today.label if today else manifest.course.version}",
        at=at,
        lines=lines,
        distributions=tuple(_summarize_milestone(m, [line.scores[i] for line in lines]) for i, m in enumerate(built)),
        sections=tuple(_summarize_sections(lines)),
        stuck=stuck,
        trying=trying,
        items=tuple(item for item in items if item.kind == "failure"),
        questions=tuple(item for item in items if item.kind == "question"),
        criteria=tuple(item for item in items if item.kind == "criterion"),
        troubles=tuple((row, v.problem) for row in rows if (v := visits.get(row.id)) is not None and v.problem),
    )


def get_score_state(score: Score) -> str:
    """Return the verdict of a score, or "not_begun" if it has none."""
    return score.verdict or "not_begun"


def _summarize_milestone(milestone: Milestone, scores: Sequence[Score]) -> MilestoneSummary:
    """Summarize a milestone's scores: states, mean, lateness and histogram."""
    counts = Counter(map(get_score_state, scores))
    points = _list_known_points(scores)
    bars = Counter(min(max(int(BINS * one / FULL), 0), BINS - 1) for one in points)
    late = sum(score.days_late > 0 for score in scores)
    return MilestoneSummary(
        milestone.id,
        milestone.name,
        {name: counts[name] for name in STATES},
        _compute_mean(points),
        late,
        tuple(bars[place] for place in range(BINS)),
    )


def _list_known_points(scores: Iterable[Score]) -> list[float]:
    """List the points that were measured or set manually."""
    touched = [score for score in scores if score.grading is not None or score.by_hand.describe()]
    return [score.points for score in touched if score.points is not None]


def _compute_mean(points: Sequence[float]) -> float | None:
    """Compute the mean to one decimal place, or return None if there are no points."""
    return round(sum(points) / len(points), 1) if points else None


def _summarize_sections(lines: Sequence[StudentLine]) -> Iterable[SectionSummary]:
    """Summarize each section of the roster, with students without one last; yield nothing if nobody has a section."""
    if not any(line.row.section for line in lines):
        return
    by_name: dict[str, list[StudentLine]] = {}
    for line in lines:
        by_name.setdefault(line.row.section or "", []).append(line)
    for name, found in sorted(by_name.items(), key=lambda one: (not one[0], one[0])):
        columns = list(zip(*(line.scores for line in found), strict=True))
        having = tuple(sum(score.verdict in ("unlocked", "provisional") for score in column) for column in columns)
        total = _compute_mean([line.total for line in found]) or 0.0
        yield SectionSummary(
            name, len(found), having, tuple(_compute_mean(_list_known_points(column)) for column in columns), total
        )


@dataclass(frozen=True)
class _Attempt:
    """The parts of one result that the report needs."""

    at: datetime
    verdict: str
    failures: tuple[str, ...]
    """The titles of the failures, in the order in which to fix them."""
    unanswered: frozenset[str]
    """The titles of unanswered questions, which do not count as missed."""
    asked_by: Mapping[str, str]
    """Maps the title of each failure to the title of its criterion."""
    judged: Mapping[str, bool]
    """Maps the title of each measured criterion to whether it was met."""


def _load_attempts(book: Gradebook, students: set[str]) -> dict[tuple[str, int], list[_Attempt]]:
    """Map (student, milestone) to the results, oldest first, without errors and regrade previews."""
    found: dict[tuple[str, int], list[_Attempt]] = {}
    owners = {g.id: g.student for g in book.list_gradings()}
    hidden = find_preview_gradings(book)
    for id_, text in book.read_result_texts():
        raw, student = json.loads(text), owners[id_]
        if student in students and raw["verdict"] != "error" and id_ not in hidden:
            at = datetime.fromisoformat(raw["started_at"]).astimezone(UTC)
            found.setdefault((student, raw["milestone"]), []).append(
                _Attempt(
                    at,
                    raw["verdict"],
                    tuple(_list_failure_titles(raw)),
                    _find_unanswered_questions(raw),
                    dict(_list_failure_and_criterion_titles(raw)),
                    dict(_list_judged_criteria(raw)),
                )
            )
    return found


def _find_unanswered_questions(raw_result: Mapping[str, Any]) -> frozenset[str]:
    """Return the titles of a raw result's failures that are unanswered questions."""
    failures = [failure for criterion in raw_result["criteria"] for failure in criterion.get("failures", ())]
    titles = [(str(f["title"]), str(f.get("got") or "")) for f in failures]
    return frozenset(
        t for t, got in titles if (extract_question_id(t) or t == OPEN_TITLE) and not says_wrong_answer(got)
    )


def _format_failure_title(failure: Mapping[str, Any]) -> str:
    """Format the title of a failure, including its task."""
    task = failure.get("task")
    return f"Task {task}: {failure['title']}" if task else str(failure["title"])


def _list_failure_titles(raw_result: Mapping[str, Any]) -> Iterable[str]:
    """List the titles of the failures in a raw result."""
    return (title for title, _ in _list_failure_and_criterion_titles(raw_result))


def _list_failure_and_criterion_titles(raw_result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield (failure's title, criterion's title) for each failure in a raw result."""
    for criterion in raw_result["criteria"]:
        for failure in criterion.get("failures", ()):
            yield _format_failure_title(failure), str(criterion["title"])


def _list_judged_criteria(raw_result: Mapping[str, Any]) -> Iterable[tuple[str, bool]]:
    """Yield (title, whether it was met) for each criterion that was judged."""
    for criterion in raw_result["criteria"]:
        if criterion["status"] in ("passed", "failed"):
            yield str(criterion["title"]), criterion["status"] == "passed"


def _find_stuck_students(
    rows: Sequence[RosterRow], history: Mapping[tuple[str, int], list[_Attempt]], last_visit: datetime | None
) -> tuple[tuple[StuckStudent, ...], int]:
    """Return the students to list as stuck, and how many (student, milestone) pairs have “not yet” as newest result."""
    by_id, needs, found = {row.id: row for row in rows}, {}, {}
    for (student, milestone), tried in history.items():
        last = tried[-1]
        if last.verdict != "not_yet":
            continue
        first = last.failures[0] if last.failures else "a figure misses its threshold"
        same = 0
        while same < len(tried) and tried[-1 - same].failures[:1] == last.failures[:1]:
            same += 1
        days = max(0, ((last_visit or last.at) - tried[-same].at) // timedelta(days=1))
        key = (student, milestone)
        needs[key] = StuckScore(same, days)
        found[key] = StuckStudent(by_id[student], milestone, first, same, days, needs[key].score)
    ranked = rank_by_stuck_score(needs, {key: history[key][-1].at.timestamp() for key in needs})
    return tuple(found[key] for key in select_stuck_students(ranked, needs, len(rows))), len(found)


def _build_report_items(
    newest: Mapping[tuple[str, int], _Attempt],
    history: Mapping[tuple[str, int], list[_Attempt]],
    built: Sequence[Milestone],
) -> list[ReportItem]:
    """List the newest results' failures, except unanswered questions, and judged criteria, most often failed first."""
    items = []
    for milestone in built:
        tried = [one for (_, number), one in newest.items() if number == milestone.id]
        everything = [found for (_, number), found in history.items() if number == milestone.id]
        missed = Counter(t for one in tried for t in dict.fromkeys(one.failures) if t not in one.unanswered)
        unmet = Counter(title for one in tried for title, met in one.judged.items() if not met)
        parents = {t: by for one in tried for t, by in one.asked_by.items() if t in missed}
        criteria = {title: title for one in tried for title in one.judged}
        for counts, titles in ((missed, parents), (unmet, criteria)):
            statistics = analyse_items([_find_item_outcomes(found, titles) for found in everything], list(titles))
            for title, by in titles.items():
                kind: ItemKind = "criterion" if title == by else "question" if extract_question_id(title) else "failure"
                items.append(ReportItem(milestone.id, kind, title, counts[title], len(tried), statistics[title]))
    return sorted(items, key=lambda i: (-i.students, i.milestone, i.title))


def _find_item_outcomes(
    attempts: Sequence[_Attempt], criterion_by_item_title: Mapping[str, str]
) -> dict[str, ItemOutcome]:
    """Map each item's title to one student's outcome on it, from the results that judged the item's criterion."""
    found = {}
    for title, criterion in criterion_by_item_title.items():
        met = [
            one.judged[criterion] if title == criterion else title not in one.asked_by
            for one in attempts
            if criterion in one.judged
        ]
        if met:
            found[title] = ItemOutcome(met[0], met.index(True) + 1 if any(met) else 0)
    return found
