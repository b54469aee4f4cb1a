"""A rehearsal of twelve has something to show in every report, and grades nothing that takes minutes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from course.release import compute_skeleton_digests
from desk.class_report import build_class_report
from desk.collect import collect_class, list_pending_tasks
from desk.courses import build_course_version
from desk.gradebook import FILE, open_gradebook
from desk.inspection import InspectionContext
from desk.leaderboard import rank_boards
from desk.members import SuspectedRename
from desk.pushes import ReflogSource
from desk.rehearsal import DEADLINES, RECORDED, write_rehearsal_class
from desk.rehearsal_cast import CAST
from desk.roster import RosterRow, read_roster
from desk.scores import compute_scores
from desk.similar_page import write_similarity_page
from grading.errors import UsageError
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.render.progress_watch import SilentWatch
from grading.result import Result
from tests.desk.school import ROOT
from website.build import build_site
from website.class_sources import GradebookSource

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def rehearsal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the class, fetched but not graded."""
    rehearsal_folder = tmp_path_factory.mktemp("rehearsal") / "class"
    write_rehearsal_class(ROOT, rehearsal_folder, len(CAST), NOW)
    rows = read_roster(rehearsal_folder / "roster.csv").rows
    found = collect_class(
        ROOT, rehearsal_folder, rows, ReflogSource(), SilentWatch(), base=rehearsal_folder, grade=False
    )
    assert found.troubles == ()
    assert found.roster.renamed == (SuspectedRename("jon", "jon_uni", "the same repository"),)
    return rehearsal_folder


@pytest.fixture(scope="module")
def rows(rehearsal_folder: Path) -> tuple[RosterRow, ...]:
    """Read the roster, which has no problems."""
    return read_roster(rehearsal_folder / "roster.csv").rows


@pytest.fixture(scope="module")
def manifest(rehearsal_folder: Path) -> Manifest:
    """Load the course with the rehearsal's deadlines."""
    told = yaml.safe_load((rehearsal_folder / DEADLINES).read_text("utf-8"))
    return Manifest.model_validate(load_manifest(ROOT).model_dump() | told)


def test_the_class_has_sections_extensions_and_names(rows: tuple[RosterRow, ...]) -> None:
    """The class has three sections, one student with an extension, and two students who agreed to be named."""
    assert {row.section for row in rows} == {"A", "B", "C"}
    assert [row.id for row in rows if row.milestone_days] == ["lee"]
    assert [row.id for row in rows if row.public] == ["ada", "fay"]


def test_nothing_that_trains_for_minutes_is_left_to_grade(rehearsal_folder: Path, rows: tuple[RosterRow, ...]) -> None:
    """A collection would grade only submissions for the first milestone."""
    manifest = load_manifest(ROOT)
    with open_gradebook(rehearsal_folder / FILE) as book:
        of = InspectionContext(
            rehearsal_folder.resolve(),
            rehearsal_folder,
            manifest,
            compute_skeleton_digests(ROOT, manifest),
            ReflogSource(),
        )
        tasks = list_pending_tasks(book, rows, of, build_course_record(ROOT, manifest).digest)
    assert {task.milestone for task in tasks} == {1}
    assert {task.student for task in tasks} == {row.id for row in rows} - {"dan"}


def test_the_report_has_milestones_2_and_3_and_somebody_stuck(rehearsal_folder: Path, manifest: Manifest) -> None:
    """Kim has failed the same task three times, over days; Fay has all three milestones."""
    with open_gradebook(rehearsal_folder / FILE) as book:
        found = build_class_report(book, manifest, build_course_version(ROOT, manifest))
        reached = compute_scores(book, manifest)
    assert [(one.row.id, one.milestone, one.tries) for one in found.stuck] == [("kim", 2, 3)]
    assert found.stuck[0].days >= 4
    assert {student for student, of in reached.items() if of[2].verdict == "unlocked"} == {"fay", "gus", "ida", "lee"}
    assert [student for student, of in reached.items() if of[3].verdict == "provisional"] == ["fay"]


def test_hal_is_late_and_the_extension_reaches_somebody(rehearsal_folder: Path, manifest: Manifest) -> None:
    """By the rehearsal's own deadlines, Hal is two days late and nobody else is late."""
    with open_gradebook(rehearsal_folder / FILE) as book:
        due = {student: of[1].terms for student, of in compute_scores(book, manifest).items()}
        pushes = {student: found[0].at for student, found in book.read_pushes().items()}
    late = {student: terms.count_late_days(pushes[student]) for student, terms in due.items() if terms is not None}
    assert {student: days for student, days in late.items() if days} == {"hal": 2}
    assert due["lee"] is not None
    assert due["ada"] is not None
    assert (due["lee"].grace_end - due["ada"].grace_end).days == 3 + 2  # his own and his section's


def test_the_near_copy_is_the_first_pair(rehearsal_folder: Path, tmp_path: Path) -> None:
    """Gus and Ida have the same lines with different names, Chi has Ben's code, and the course's code is left out."""
    pair, other = write_similarity_page(ROOT, rehearsal_folder, tmp_path / "similar.html", SilentWatch())
    assert {other.left, other.right} == {"ben", "chi"}
    assert {pair.left, pair.right} == {"gus", "ida"}
    assert {match.file for match in pair.matches} == {"modules/04_layers/tinytorch/layers.py"}
    text = [
        (rehearsal_folder / "repositories-of-the-rehearsal" / f"{one}.work" / pair.matches[0].file)
        for one in ("gus", "ida")
    ]
    assert "def draw_regions(" in text[0].read_text("utf-8")
    assert "def draw_regions(" not in text[1].read_text("utf-8")
    compile(text[1].read_text("utf-8"), "layers.py", "exec")


def test_the_site_shows_curves_and_pictures_and_says_that_they_are_recorded(
    rehearsal_folder: Path, tmp_path: Path
) -> None:
    """Fay's portfolio has both milestones, with classified images; her timeline shows repeated attempts as one."""
    build_site(GradebookSource(rehearsal_folder / FILE), tmp_path / "site")
    (page,) = [p for p in (tmp_path / "site" / "student").glob("*/portfolio.html") if "<h1>Fay" in p.read_text("utf-8")]
    text = page.read_text("utf-8")
    assert text.count('<figure class="curve">') == 2
    assert text.count('class="images"') == 4
    assert text.count("Recorded for the rehearsal with the course’s own solution") >= 2
    assert ", 3 tries</span>" in page.with_name("index.html").read_text("utf-8")


def test_the_leaderboard_has_an_entry(rehearsal_folder: Path) -> None:
    """The entry is Fay's network, from her recorded run."""
    with open_gradebook(rehearsal_folder / FILE) as book:
        assert [(r.board.name, [e.student for e in r.entries]) for r in rank_boards(book)] == [("smallest", ["fay"])]


def test_a_class_of_another_size_is_the_first_of_them(tmp_path: Path) -> None:
    """The first four have no recorded results, so there is no gradebook; thirteen students are refused."""
    write_rehearsal_class(ROOT, tmp_path / "small", 2)
    assert [row.id for row in read_roster(tmp_path / "small" / "roster.csv").rows] == ["ada", "ben"]
    assert not (tmp_path / "small" / FILE).exists()
    with pytest.raises(UsageError, match="1 to 12"):
        write_rehearsal_class(ROOT, tmp_path / "large", 13)


@pytest.mark.parametrize("name", sorted({name for one in CAST for name in one.recorded}))
def test_recorded_results_are_small_and_whole(name: str) -> None:
    """Each record is current, and was measured on real data in a sandbox; passing ones have curves and pictures."""
    path = RECORDED / f"{name}.json"
    found = Result.model_validate_json(path.read_bytes())
    assert path.stat().st_size < 100_000
    assert found.official
    assert found.machine.sandbox in ("bubblewrap", "landlock")
    assert (found.verdict == "not_yet") == name.endswith("not-yet")
    if found.milestone in (2, 3) and found.verdict != "not_yet":
        assert {curve.name for curve in found.curves} == {"loss", "accuracy"}
        assert {picture.name for picture in found.pictures} == {"confusions", "filters"}
        assert found.named_images
        assert found.timing.training
