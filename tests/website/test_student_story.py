"""A student's pages show records in order, cleaned, and only those that count."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from desk.cohort import CohortMember, RecordEntry
from grading import progress
from grading.manifest.model import Manifest
from grading.render.record import encode_result
from tests.render.results import build_criterion, build_failure, build_not_yet, build_result
from tests.website.conftest import make_attempt, make_member, make_started_event
from website.activity_calendar import draw_calendar
from website.page_renderer import SiteContext
from website.student_pages import render_student_pages
from website.student_story import build_student_story

FORGED = "it is not in the ledger"


def test_steps_are_told_in_order_with_what_came_next(manifest: Manifest) -> None:
    """The order is started, not yet, unlocked. Attempts are counted, and each step says what followed, and when."""
    story = build_student_story(
        make_member(make_started_event("04_layers"), make_attempt(build_not_yet(), 1), make_attempt(build_result(), 3)),
        manifest,
    )
    assert [(s.kind, s.attempt) for s in story.steps] == [("started", None), ("attempt", 1), ("unlocked", 2)]
    assert [s.then for s in story.steps] == [
        "1 day later: Milestone 1 attempted",
        "2 days later: Milestone 1 unlocked",
        "",
    ]
    assert story.steps[1].first_fix == "Task 2.3: A row is added to every row of a matrix"
    assert story.steps[1].more == 1
    assert [c.milestone.id for c in story.capabilities] == [1]
    assert story.capabilities[0].attempts == 2


def test_figures_stand_beside_their_thresholds(manifest: Manifest) -> None:
    """Rows match every other rendering, with margins, and the method of measurement is stated once."""
    same = {"how": "3 runs"}
    story = build_student_story(
        make_member(make_attempt(build_result(build_criterion(**same), build_criterion("failed", 0.5, **same)))),
        manifest,
    )
    told = [(f.measured, f.threshold, f.met, f.margin, f.margin_share, f.how) for f in story.steps[0].figures]
    page = render_student_pages(story, SiteContext(manifest))["student/quiet-otter-40391/index.html"].decode()
    assert page.count("3 runs") == 1
    assert told == [
        ("100%", "≥ 100%", True, "", 0, "3 runs"),
        ("50%", "≥ 100%", False, "50 points short", -50, "3 runs"),
    ]


def test_a_record_nothing_vouches_for_does_not_count_beside_verified_ones(manifest: Manifest) -> None:
    """Such a record is shown with the reason, and unlocks nothing."""
    forged = RecordEntry(make_attempt(build_result(), 2), verified=False, reason=FORGED)
    story = build_student_story(
        make_member(make_started_event("01_setup"), make_attempt(build_not_yet(), 1), forged), manifest
    )
    assert story.steps[-1].kind == "unlocked"
    assert (story.steps[-1].verified, story.steps[-1].reason) == (False, FORGED)
    assert story.capabilities == ()
    assert story.milestones[0].unlocked_at is None


def test_where_nothing_is_verified_everything_is_told_as_such(manifest: Manifest) -> None:
    """A class without a ledger still has pages, each of which states that it is not verified."""
    story = build_student_story(
        make_member(RecordEntry(make_attempt(build_result()), verified=False, reason=FORGED)), manifest
    )
    assert not story.any_verified
    assert [c.milestone.id for c in story.capabilities] == [1]
    files = render_student_pages(story, SiteContext(manifest))
    for name in ("index.html", "portfolio.html"):
        assert "not verified" in files[f"student/quiet-otter-40391/{name}"].decode()
    verified = render_student_pages(
        build_student_story(make_member(make_attempt(build_result())), manifest), SiteContext(manifest)
    )
    assert verified["student/quiet-otter-40391/card.png"] != files["student/quiet-otter-40391/card.png"]
    assert b"vouches" not in verified["student/quiet-otter-40391/portfolio.html"]


def test_a_damaged_result_is_counted_and_not_shown(manifest: Manifest) -> None:
    """An incomplete result is not interpreted, whatever it claims."""
    event = make_attempt(build_result())
    assert event.raw is not None
    wrong = replace(event, raw=event.raw | {"criteria": [{"status": "passed"}]})
    story = build_student_story(make_member(wrong, make_attempt(build_not_yet(), 1)), manifest)
    assert story.damaged == 1
    assert [s.kind for s in story.steps] == ["attempt"]


def test_unknown_modules_and_milestones_are_told_without_a_link(manifest: Manifest) -> None:
    """A record from a different course, or a forged one, does not cause a failure."""
    story = build_student_story(
        make_member(make_started_event("99_nothing"), make_attempt(build_result(milestone=77), 1)), manifest
    )
    assert [s.title for s in story.steps] == [
        "A module that is not in this course",
        "Milestone 77: not in this course",
    ]
    assert [(s.module, s.milestone) for s in story.steps] == [(None, None), (None, None)]


def test_text_of_records_is_cleaned(manifest: Manifest) -> None:
    """Escapes, direction marks and line breaks are removed, and long text is cut."""
    hostile = build_failure(task=None, title="\x1b[31mred\u202e\nnew ::error::line " + "x" * 5000)
    story = build_student_story(
        make_member(make_attempt(build_not_yet(criteria=(build_criterion("failed", 0.1, failures=(hostile,)),)))),
        manifest,
    )
    fix = story.steps[0].first_fix
    assert fix is not None
    assert fix.startswith("red new : :error::line xxx")
    assert len(fix) < 300


def test_names_are_shown_only_of_those_who_agreed(manifest: Manifest) -> None:
    """All others appear under their pseudonyms, as does a public student without a name."""
    assert build_student_story(make_member(name="Ada Lovelace", public=True), manifest).name == "Ada Lovelace"
    for hidden in (make_member(name="Ada Lovelace"), make_member(public=True)):
        assert build_student_story(hidden, manifest).name == "Quiet Otter 40391"


def test_a_later_provisional_result_takes_no_unlocking_away(manifest: Manifest) -> None:
    """The best attempt counts, with its own date."""
    provisional = build_result(verdict="provisional", provisional_because=("Digits stand in.",))
    first = make_attempt(build_result())
    story = build_student_story(make_member(first, make_attempt(provisional, 5)), manifest)
    assert story.capabilities[0].provisional == ()
    assert story.capabilities[0].at == first.at
    assert story.steps[1].at - story.steps[0].at == timedelta(days=5)


def test_repeats_are_told_as_one(manifest: Manifest) -> None:
    """The record that unlocked it is shown with the number of attempts and what followed, and the others are folded."""
    events = (
        make_started_event("04_layers"),
        make_attempt(build_not_yet(), 1),
        make_attempt(build_not_yet(), 2),
        make_attempt(build_result(), 3),
    )
    story = build_student_story(
        make_member(*events, make_attempt(build_not_yet(), 4), make_started_event("05_dense", 6)), manifest
    )
    assert [(t.step.kind, t.tries, [s.number for s in t.others]) for t in story.turns] == [
        ("started", 0, []),
        ("unlocked", 4, [2, 3, 5]),
        ("started", 0, []),
    ]
    assert story.turns[1].then == "2 days later: Module 05_dense started"
    page = render_student_pages(story, SiteContext(manifest))["student/quiet-otter-40391/index.html"].decode()
    assert ", 4 tries</span>" in page
    assert [f'id="r{number}"' in page for number in range(1, 7)] == [True] * 6


def test_a_forged_success_is_not_told_in_place_of_a_record(manifest: Manifest) -> None:
    """The forged record is folded below the verified one."""
    forged = RecordEntry(make_attempt(build_result(), 2), verified=False, reason=FORGED)
    (turn,) = build_student_story(make_member(make_attempt(build_not_yet(), 1), forged), manifest).turns
    assert (turn.step.kind, turn.others[0].kind) == ("attempt", "unlocked")


def test_a_calendar_counts_the_records_of_each_day(manifest: Manifest) -> None:
    """Days are in UTC, the busiest is darkest, and a ring marks an unlocked milestone; no records give no calendar."""
    records = (
        make_started_event("01_setup"),
        make_started_event("02_tensor"),
        make_started_event("03_activations", 8),
        make_attempt(build_result(), 8.5),
    )
    shown = draw_calendar(build_student_story(make_member(*records), manifest).steps)
    assert shown is not None
    assert shown.said.startswith("Records on 3 days from 1 Oct 2026 to 10 Oct 2026. Most are on 1 Oct 2026: 2. ")
    assert shown.shapes.count('class="day level-4"') == 1
    assert shown.shapes.count('class="day level-2 gold"') == 1
    assert shown.shapes.count('class="day level-0"') + shown.shapes.count('class="day"') == 7
    assert draw_calendar(()) is None


def test_a_calendar_ends_after_a_year(manifest: Manifest) -> None:
    """Only the newest 53 weeks are shown, however far apart the records are."""
    shown = draw_calendar(
        build_student_story(
            make_member(make_started_event("01_setup"), make_started_event("02_tensor", 4000)), manifest
        ).steps
    )
    assert shown is not None
    assert shown.shapes.count("<rect") <= 53 * 7
    assert shown.width < 800


COMMIT = "c0ffee" + "0" * 34


def make_linked_member(agreed: bool, repository: str = "octo/framework", commit: str = COMMIT) -> CohortMember:
    """Make Ada, whose unlocked milestone 1 was graded officially and published."""
    official = make_attempt(build_result(official=True))
    assert official.raw is not None
    official.raw["submission"]["commit"] = commit
    published = RecordEntry(
        make_attempt(build_result(), 1), True, None, file="progress/20261002T000000Z-milestone-1.json"
    )
    one = make_member(official, published, name="Ada", public=True)
    return replace(one, student=replace(one.student, repository=repository, links=agreed))


def test_a_portfolio_leads_to_the_work_of_who_agreed(manifest: Manifest) -> None:
    """Links lead to the repository, commit, code, recipe and published record, but only for students who agreed."""
    for agreed in (True, False):
        files = render_student_pages(build_student_story(make_linked_member(agreed), manifest), SiteContext(manifest))
        page = files["student/quiet-otter-40391/portfolio.html"].decode()
        for address in (
            'href="https://github.com/octo/framework"',
            f'href="https://github.com/octo/framework/tree/{COMMIT}"',
            f"/blob/{COMMIT}/modules/04_layers/tinytorch/layers.py",
            f"/blob/{COMMIT}/modules/04_layers/recipe.py",
            "/blob/progress/progress/20261002T000000Z-milestone-1.json",
            f"git -C handed-in checkout {COMMIT}",
            "https://github.com/octo/framework/raw/progress/progress/20261002T000000Z-milestone-1.json --output",
            "gh attestation verify result.json --repo octo/framework",
        ):
            assert (address in page) == agreed, address
        assert "nox -s milestone-1 -- --submission ../handed-in --seed 42" in page
        assert agreed or not any(b"octo" in data or b"c0ffee" in data for data in files.values())


def test_a_link_is_only_what_it_can_be(manifest: Manifest) -> None:
    """A commit must be 40 digits, a path has no page, and code is linked only if its address is known."""
    for repository, commit, wanted in (
        ("octo/framework", "main?x", ["https://github.com/octo/framework"]),
        ("https://git.school.example/ada/work.git", COMMIT, ["https://git.school.example/ada/work"]),
        ("./server/ada.git", COMMIT, []),
        ("git@git.school.example:ada/work.git", COMMIT, []),
    ):
        story = build_student_story(make_linked_member(True, repository, commit), manifest)
        assert ([story.repository.address] if story.repository else []) == wanted
        assert story.capabilities[0].code == ()


def test_what_was_signed_is_in_the_published_record() -> None:
    """The command in the portfolio reproduces the bytes that the workflow attested."""
    signed = build_result(name="Grüße", seed=7)
    record = progress.encode_event_file(progress.make_run_event(signed))
    assert json.dumps(json.loads(record)["result"], indent=2) + "\n" == encode_result(signed)
