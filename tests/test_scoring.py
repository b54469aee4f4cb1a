"""What a result is worth: weights and partial credit are the manifest's, and by default there is neither."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from course.manifest_text import format_manifest_as_yaml
from desk.gradebook import FILE, open_gradebook
from desk.roster import RosterRow
from desk.scores import compute_scores
from grading.criteria import copy_repeated_criterion_fields
from grading.export.scored_tests import list_scored_tests
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest, Unit
from grading.manifest.problems import ManifestError
from grading.render.markdown import render_markdown
from grading.render.terminal_report import print_result_report
from grading.result import Result
from grading.scoring import compute_earned_share, compute_score_share, describe_scoring_scheme
from tests.desk.books import make_graded_result
from tests.render.results import build_criterion, build_loss_criterion, build_not_yet, build_result
from website.course_pages import render_course_pages
from website.page_renderer import SiteContext

NEARLY = 544 / 552


def test_by_default_every_criterion_counts_the_same_and_nothing_is_partial() -> None:
    """As before there were weights: the share of the criteria that are met."""
    made = build_result(
        build_criterion("failed", NEARLY),
        build_loss_criterion(),
        build_loss_criterion("not_attempted", None),
        build_loss_criterion("error", None),
    )
    assert compute_score_share(made) == 1 / 4
    assert compute_score_share(build_result()) == 1.0
    assert (
        describe_scoring_scheme(made.criteria)
        == "Each of the 4 criteria is worth the same. A criterion that is not met earns nothing."
    )


def test_a_weight_is_a_criterion_s_share_of_the_points() -> None:
    """Three of five shares for the tests, one that counts nothing."""
    made = build_result(
        build_criterion(weight=3.0), build_loss_criterion("failed", 0.2, weight=2.0), build_loss_criterion(weight=0.0)
    )
    assert compute_score_share(made) == 3 / 5
    assert describe_scoring_scheme(made.criteria) == (
        "The weights add up to 5: “The tests of modules 01 to 04 pass” counts 3, "
        "“The loss after training is small” counts 2, and every other counts 0. A criterion that is not met earns "
        "nothing."
    )


def test_nearly_all_tests_are_not_nothing_where_the_manifest_says_so() -> None:
    """544 of 552 tests earn that share of the criterion; what was not attempted or judged earns none."""
    tests = build_criterion("failed", NEARLY, partial=True, weight=2.0)
    assert compute_earned_share(tests) == NEARLY
    assert compute_score_share(
        build_not_yet(criteria=(tests, build_loss_criterion("not_attempted", None)))
    ) == pytest.approx(2 * NEARLY / 3)
    assert compute_earned_share(build_criterion("error", NEARLY, partial=True)) == 0
    assert compute_earned_share(build_criterion("failed", 1.0, partial=True)) < 1
    assert "“The tests of modules 01 to 04 pass” earns the share of tests that pass." in describe_scoring_scheme(
        [tests, build_loss_criterion()]
    )


def copy_changed_manifest(root: Path, folder: Path, old: str, new: str) -> Path:
    """Write the course's manifest, with one change, into a folder."""
    text = (root / "milestones.yaml").read_text("utf-8")
    assert old in text
    (folder / "milestones.yaml").write_text(text.replace(old, new, 1), "utf-8")
    return folder


TESTS = "        check: module_tests\n"


def load_partial_course(root: Path, folder: Path) -> Manifest:
    """Load the course with weight and partial credit for the module tests of milestone 1."""
    return load_manifest(
        copy_changed_manifest(root, folder, TESTS, f"{TESTS}        weight: 4\n        partial: true\n")
    )


def test_the_scheme_is_the_manifest_s(root: Path, tmp_path: Path) -> None:
    """A record repeats it, a release hands it on, and the milestone's page, report and terminal print it."""
    manifest = load_partial_course(root, tmp_path)
    milestone = manifest.milestone(1)
    tests = next(c for c in milestone.criteria if c.check == "module_tests")
    assert (copy_repeated_criterion_fields(tests)["weight"], copy_repeated_criterion_fields(tests)["partial"]) == (
        4.0,
        True,
    )
    (tmp_path / "milestones.yaml").write_text(format_manifest_as_yaml(manifest), "utf-8")
    assert load_manifest(tmp_path) == manifest
    scheme = describe_scoring_scheme(milestone.criteria)
    assert scheme == (
        "The weights add up to 16: “The tests of modules 01 to 04 pass” counts 4, and every other counts 1. "
        "“The tests of modules 01 to 04 pass” earns the share of tests that pass."
    )
    pages = render_course_pages(root, SiteContext(manifest))
    assert scheme in pages["course/milestone-1.html"].decode()
    assert "Each of the" in pages["course/milestone-2.html"].decode()
    made = build_not_yet(
        criteria=(build_criterion("failed", NEARLY, partial=True), build_loss_criterion("not_attempted", None))
    )
    assert "49.2 of 100 points" in render_markdown(made).replace("\\", "")
    console = Console(file=io.StringIO(), width=100)
    print_result_report(console, made)
    assert "49.2 of 100 points" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "points" not in render_markdown(build_result(milestone=None, module="02_tensor", medal=None)).lower()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("        check: source\n", "        check: source\n        partial: true\n", "cannot earn partial credit"),
        ("        check: quiz\n", "        check: quiz\n        partial: true\n", "cannot earn partial credit"),
        (TESTS, f"{TESTS}        weight: -1\n", "`weight` is -1"),
    ],
)
def test_a_scheme_that_cannot_be_meant_is_refused(root: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    """With the line of the criterion."""
    with pytest.raises(ManifestError, match=said):
        load_manifest(copy_changed_manifest(root, tmp_path, old, new))


def test_other_formats_get_whole_numbers() -> None:
    """In hundredths of a point where there are parts, with the same full score for everybody."""
    whole = build_result(build_criterion(weight=3.0), build_loss_criterion("failed", 0.2))
    assert [(t.score, t.max_score) for t in list_scored_tests([whole])] == [(3, 3), (0, 1)]
    parts = build_not_yet(
        criteria=(build_criterion("failed", NEARLY, partial=True), build_loss_criterion("not_attempted", None))
    )
    assert [(t.score, t.max_score) for t in list_scored_tests([parts])] == [(98, 100), (0, 100)]
    passed = build_result(build_criterion(partial=True), build_loss_criterion())
    assert [(t.score, t.max_score) for t in list_scored_tests([passed])] == [(100, 100), (100, 100)]


def test_what_was_graded_keeps_the_scheme_it_was_graded_by(class_folder: Path, root: Path) -> None:
    """Its share is kept with it, so other weights move old scores by a regrade alone."""
    one = make_graded_result(1, met=1)
    parts = tuple(c.model_copy(update={"partial": c.unit is Unit.FRACTION, "weight": 3.0}) for c in one.criteria)
    weighted = Result.model_validate(one.model_dump() | {"criteria": [c.model_dump() for c in parts]})
    with open_gradebook(class_folder / FILE, make=True) as book:
        book.set_enrolled_students([RosterRow("ada"), RosterRow("bob")])
        book.save_result("ada", one)
        book.save_result("bob", weighted.model_copy(update={"criteria": (parts[0], parts[1])}))
        found = compute_scores(book, load_manifest(root))
    assert (found["ada"][1].points, found["bob"][1].points) == (50.0, 50.0)


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    """Return the folder of a class."""
    return tmp_path


@pytest.mark.parametrize("weight", [-1.0, 1e300, float("nan"), float("inf")])
def test_a_record_s_weight_is_one_that_a_manifest_may_have(weight: float) -> None:
    """Records come from elsewhere as well, and what shows them must not fail at one."""
    with pytest.raises(ValueError, match="weight"):
        build_criterion(weight=weight)
