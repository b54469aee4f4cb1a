"""All students read their own official results, in one issue that is kept up to date, and nobody else's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from desk import issues
from desk.feedback import FeedbackSummary, collect_official_results, sync_feedback_issues
from desk.feedback_text import TITLE, format_feedback
from desk.gradebook import FILE, CommitSubmission, open_gradebook
from desk.overrides import set_override
from desk.pushes import Push
from desk.roster import RosterRow
from grading.errors import UsageError
from grading.manifest.model import Manifest
from grading.render.markdown import MAX_REPORT_CHARACTERS
from grading.render.progress_watch import SilentWatch
from tests.desk.books import MAIN, fill_gradebook, format_commit, make_graded_result
from tests.desk.school import ROOT, TERM
from tests.desk.test_deadlines import DUE, due_manifest
from tests.github.conftest import environ, hub, running, waits  # noqa: F401 - the fixtures
from tests.github.issues import add_issue
from tests.github.local import Fault, Hub, build_error
from tests.github.test_comment import assert_harmless
from tests.render.results import build_criterion, build_failure, build_loss_criterion
from tests.render.test_documents import LIVE

EXPECTED = Path(__file__).with_name("feedback.md")
ROWS = [
    RosterRow("ada", "Ada Lovelace", repository="class/ada"),
    RosterRow("bob", "Bob", repository="https://github.com/class/bob"),
    RosterRow("cyd", "Cyd", repository="./server/cyd.git"),
]
PROF = "prof"


@pytest.fixture
def feedback_folder(class_folder: Path) -> Path:
    """Create a class: Ada has everything, Bob half of it, and Cyd's repository is on this machine."""
    fill_gradebook(class_folder / FILE, ROWS, {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)], "cyd": []})
    return class_folder


def load_two_milestones() -> Manifest:
    """Load the course up to milestone 2, with a deadline for the first."""
    manifest = due_manifest()
    return manifest.model_copy(update={"milestones": manifest.milestones[:2]})


def format_student_feedback(feedback_folder: Path, student: str, manifest: Manifest) -> str:
    """Return the text that this student reads."""
    with open_gradebook(feedback_folder / FILE) as book:
        return next(
            format_feedback(o, manifest) for o in collect_official_results(book, manifest, ROOT) if o.row.id == student
        )


def test_a_student_reads_points_lateness_comment_and_receipts(class_folder: Path) -> None:
    """The complete text: a pass a day late, a manual decision, the next step, and three receipts."""
    work = {"ada": [(1, 1, TERM), (2, 2, DUE + timedelta(hours=20))], "bob": []}
    fill_gradebook(class_folder / FILE, ROWS[:2], work)
    with open_gradebook(class_folder / FILE) as book:
        book.save_pushes("ada", [Push(MAIN, format_commit(n), DUE + timedelta(days=n), "seen") for n in (3, 4)])
        book.save_submissions([CommitSubmission("ada", format_commit(3), "c" * 64, 1, None)])
    set_override(ROOT, class_folder, "ada", 1, {"bonus": "5", "comment": "Well *explained*, @ada."}, "the talk", PROF)
    assert format_student_feedback(class_folder, "ada", load_two_milestones()) == EXPECTED.read_text("utf-8")


def test_an_excuse_an_error_and_a_late_beginner_are_told_what_to_do(feedback_folder: Path) -> None:
    """Each case has its own wording; the reason for an override stays with the instructor."""
    with open_gradebook(feedback_folder / FILE) as book:
        book.save_result("cyd", make_graded_result(4, met=0, verdict="error"))
    assert "nothing for you to do" in format_student_feedback(feedback_folder, "cyd", load_two_milestones())
    bob = format_student_feedback(feedback_folder, "bob", load_two_milestones())
    assert "Fix this first, for milestone 1" in bob
    assert "**The loss after training is small.** A network can be no better than its parts." in bob
    assert "- The loss after training is small: 0.2, required ≤ 0.05" in bob
    set_override(ROOT, feedback_folder, "bob", 1, {"excused": "yes"}, "a doctor's note", PROF)
    bob = format_student_feedback(feedback_folder, "bob", load_two_milestones())
    assert "| excused |" in bob
    assert "Milestone 2, Computer Vision" in bob
    assert "doctor" not in bob
    assert PROF not in bob


def test_nobody_reads_about_another(feedback_folder: Path) -> None:
    """No student's text contains another's name, id, commit or comment."""
    set_override(ROOT, feedback_folder, "bob", 1, {"comment": "Come and see me."}, "why", PROF)
    ada, bob = (format_student_feedback(feedback_folder, student, load_two_milestones()) for student in ("ada", "bob"))
    assert not [word for word in ("Bob", "bob", format_commit(2), "Come and see me") if word in ada]
    assert not [word for word in ("Ada", "ada", format_commit(1)) if word in bob]


@pytest.mark.parametrize(
    "text", [LIVE, "</details>", "-->", "@everyone", "| a |\n| - |", "<!-- tinytorch:feedback x -->"]
)
def test_no_text_is_live(class_folder: Path, text: str) -> None:
    """No name, comment or returned value can trigger anything, or make the text too long."""
    fill_gradebook(class_folder / FILE, [RosterRow("ada", text * 20, repository="class/ada")], {"ada": []})
    bad = build_failure(title=text, got=text * 500, hint=text, task=text)
    record = make_graded_result(1, met=1)
    record = record.model_copy(
        update={
            "criteria": (build_criterion("failed", 0.1, title=text * 99, failures=(bad,) * 9), build_loss_criterion())
        }
    )
    with open_gradebook(class_folder / FILE) as book:
        book.save_result("ada", record.model_copy(update={"provisional_because": (text,) * 9}))
    set_override(ROOT, class_folder, "ada", 1, {"comment": text}, "why", PROF)
    written = format_student_feedback(class_folder, "ada", load_two_milestones())
    assert_harmless(written.replace("<!-- tinytorch:feedback ada -->", "", 1))
    assert len(written) <= MAX_REPORT_CHARACTERS


def test_a_thousand_pushes_fit(feedback_folder: Path) -> None:
    """The newest pushes have receipts, and the others are counted."""
    with open_gradebook(feedback_folder / FILE) as book:
        book.save_pushes(
            "bob", [Push(MAIN, format_commit(n), TERM + timedelta(minutes=n), "github") for n in range(100, 1100)]
        )
        book.save_submissions(
            [CommitSubmission("bob", format_commit(n), "c" * 64, 1, "d" * 64) for n in range(100, 1100)]
        )
    text = format_student_feedback(feedback_folder, "bob", load_two_milestones())
    assert len(text) <= MAX_REPORT_CHARACTERS
    assert format_commit(1099) in text
    assert "801 earlier pushes" in text


@pytest.fixture
def class_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:  # noqa: F811
    """Start GitHub with Ada's and Bob's repositories and an instructor's token; writes need not wait."""
    hub.users["actions"] = PROF
    monkeypatch.setattr(issues, "PAUSE", 0.0)
    for student in ("ada", "bob"):
        hub.repository(f"class/{student}")
    return hub


def run_feedback(feedback_folder: Path, environ: dict[str, str], **options: object) -> FeedbackSummary:  # noqa: F811
    """Run `inv feedback`, which sends by default."""
    return sync_feedback_issues(ROOT, feedback_folder, ROWS, environ, SilentWatch(), **{"send": True, **options})  # type: ignore[arg-type]


def list_issue_bodies(hub: Hub, student: str) -> list[str]:  # noqa: F811
    """List the texts of the issues in a student's repository."""
    return [issue["body"] for issue in hub.repository(f"class/{student}").issues]


def test_nothing_is_sent_before_it_is_said_so(feedback_folder: Path, class_hub: Hub, environ: dict[str, str]) -> None:  # noqa: F811
    """A dry run shows what would be done, and writes nothing."""
    found = run_feedback(feedback_folder, environ, send=False)
    assert found == FeedbackSummary({"ada": "open", "bob": "open", "cyd": "elsewhere"})
    assert {method for method, _ in class_hub.asked} == {"GET"}


def test_an_issue_is_opened_once_and_only_a_changed_one_is_updated(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
) -> None:
    """Sending twice changes nothing; a comment for Bob updates only Bob's issue."""
    assert run_feedback(feedback_folder, environ).outcomes == {"ada": "open", "bob": "open", "cyd": "elsewhere"}
    assert [issue["title"] for issue in class_hub.repository("class/ada").issues] == [TITLE]
    class_hub.repository("class/ada").issues[0]["body"] = (
        list_issue_bodies(class_hub, "ada")[0].replace("\n", "\r\n").rstrip()
    )
    class_hub.asked.clear()
    assert run_feedback(feedback_folder, environ).outcomes == {"ada": "same", "bob": "same", "cyd": "elsewhere"}
    assert {method for method, _ in class_hub.asked} == {"GET"}
    set_override(ROOT, feedback_folder, "bob", 1, {"comment": "Better."}, "why", PROF)
    class_hub.asked.clear()
    assert run_feedback(feedback_folder, environ).outcomes == {"ada": "same", "bob": "update", "cyd": "elsewhere"}
    writes = [(method, path) for method, path in class_hub.asked if method != "GET"]
    assert writes == [("PATCH", "/repos/class/bob/issues/1")]
    assert "From your instructor: Better." in list_issue_bodies(class_hub, "bob")[0]


def test_what_somebody_wrote_into_it_is_replaced_and_a_closed_one_stays_closed(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
) -> None:
    """A student may edit and close the issue: no second one is opened."""
    run_feedback(feedback_folder, environ)
    issue = class_hub.repository("class/ada").issues[0]
    official = issue["body"]
    issue.update(body=official.replace("100 of 100", "101 of 100"), state="closed")
    assert run_feedback(feedback_folder, environ).outcomes["ada"] == "update"
    assert (list_issue_bodies(class_hub, "ada"), issue["state"]) == ([official], "closed")


def test_a_forged_issue_and_a_pull_request_are_not_ours(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
) -> None:
    """The marker in a student's issue, or in a pull request, stays as it is."""
    forged = "<!-- tinytorch:feedback ada -->\n\nUnlocked, honestly!"
    add_issue(class_hub, class_hub.repository("class/ada"), TITLE, forged, "ada")
    urls = dict.fromkeys(("url", "html_url", "diff_url", "patch_url"), "https://x.org")
    add_issue(
        class_hub, class_hub.repository("class/ada"), TITLE, forged, PROF, pull_request={**urls, "merged_at": None}
    )
    assert run_feedback(feedback_folder, environ).outcomes["ada"] == "open"
    assert list_issue_bodies(class_hub, "ada")[:2] == [forged, forged]


def test_another_student_s_issue_is_never_overwritten(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
) -> None:
    """A repository that was another student's is reported, and Bob gets his issue; after a rename the issue is hers."""
    add_issue(class_hub, class_hub.repository("class/ada"), TITLE, "<!-- tinytorch:feedback eve -->\n\nEve's", PROF)
    found = run_feedback(feedback_folder, environ)
    assert found.outcomes["bob"] == "open"
    assert [(t.student, "feedback for eve" in t.problem) for t in found.troubles] == [("ada", True)]
    assert list_issue_bodies(class_hub, "ada") == ["<!-- tinytorch:feedback eve -->\n\nEve's"]
    with open_gradebook(feedback_folder / FILE) as book:
        book.rename_student("eve", "eve_uni", TERM)
        book.rename_student("eve_uni", "ada", TERM + timedelta(days=1))
    assert run_feedback(feedback_folder, environ).outcomes["ada"] == "update"


@pytest.mark.parametrize("visibility", ["public", "internal"])
def test_a_repository_that_others_read_gets_no_grades(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
    visibility: str,
) -> None:
    """Neither public nor enterprise-internal repositories get grades."""
    class_hub.repository("class/ada").visibility = visibility
    assert run_feedback(feedback_folder, environ).outcomes["ada"] == "public"
    assert list_issue_bodies(class_hub, "ada") == []


def test_what_github_refuses_is_one_student_s_trouble(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
) -> None:
    """If issues are disabled or a repository is gone, the other students still get theirs."""
    class_hub.repository("class/ada").has_issues = False
    del class_hub.repositories["class/bob"]
    troubles = {t.student: t.problem for t in run_feedback(feedback_folder, environ).troubles}
    assert "Issues has been disabled" in troubles["ada"]
    assert "class/bob" in troubles["bob"]


def test_a_lost_answer_opens_no_second_issue(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
    waits: list[float],  # noqa: F811
) -> None:
    """If GitHub opened an issue but reported failure, the issue is searched for before another is opened."""
    class_hub.faults.append(Fault("POST", "/issues$", build_error(502, "oops"), done=True))
    run_feedback(feedback_folder, environ)
    assert len(list_issue_bodies(class_hub, "ada")) == 1
    assert waits == [1]


def test_github_s_limit_is_waited_for_or_ends_the_run(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
    waits: list[float],  # noqa: F811
) -> None:
    """A run waits as long as Retry-After says, but not for an hour; the next run continues with the others."""
    slow = build_error(403, "You have exceeded a secondary rate limit")
    slow.headers["Retry-After"] = "60"
    class_hub.faults.append(Fault("POST", "class/ada/issues$", slow))
    long = build_error(403, "You have exceeded a secondary rate limit")
    long.headers["Retry-After"] = "3600"
    class_hub.faults.append(Fault("POST", "class/bob/issues$", long))
    found = run_feedback(feedback_folder, environ)
    assert waits == [60]
    assert found.outcomes == {"ada": "open", "cyd": "elsewhere"}
    assert "61 minutes" in (found.stopped or "")
    assert run_feedback(feedback_folder, environ).outcomes == {"ada": "same", "bob": "open", "cyd": "elsewhere"}


def test_writes_keep_a_second_s_distance(
    feedback_folder: Path,
    class_hub: Hub,
    environ: dict[str, str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GitHub asks for it."""
    kept: list[float] = []

    class Clock:
        monotonic = staticmethod(lambda: 100.0)
        sleep = staticmethod(kept.append)

    monkeypatch.setattr(issues, "PAUSE", 1.0)
    monkeypatch.setattr(issues, "time", Clock)
    run_feedback(feedback_folder, environ)
    assert kept == [1.0]
    assert list_issue_bodies(class_hub, "bob")


def test_an_app_is_named(feedback_folder: Path, class_hub: Hub, environ: dict[str, str]) -> None:  # noqa: F811
    """GitHub does not report which app a token belongs to."""
    class_hub.users["actions"] = "class-app[bot]"
    with pytest.raises(UsageError, match="--author"):
        run_feedback(feedback_folder, environ)
    assert run_feedback(feedback_folder, environ, author="class-app[bot]").outcomes["ada"] == "open"


def test_without_github_there_are_files(feedback_folder: Path, tmp_path: Path) -> None:
    """No token is needed; each text is written once, and again only if it changed; git ignores the folder."""
    local = [RosterRow(row.id, row.name, repository=f"./{row.id}.git") for row in ROWS]
    to = tmp_path / "out"
    found = sync_feedback_issues(ROOT, feedback_folder, [*local, RosterRow("dan")], {}, SilentWatch(), text_folder=to)
    assert (set(found.outcomes.values()), found.written) == ({"elsewhere"}, 3)
    assert [(t.student, "never collected" in t.problem) for t in found.troubles] == [("dan", True)]
    assert sorted(p.name for p in to.iterdir()) == [".gitignore", "ada.md", "bob.md", "cyd.md"]
    assert (to / "ada.md").read_text("utf-8").startswith("<!-- tinytorch:feedback ada -->\n")
    assert sync_feedback_issues(ROOT, feedback_folder, local, {}, SilentWatch(), text_folder=to).written == 0
    with pytest.raises(UsageError, match="GITHUB_TOKEN"):
        sync_feedback_issues(ROOT, feedback_folder, ROWS, {}, SilentWatch())
