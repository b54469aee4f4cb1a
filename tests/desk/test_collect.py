"""A collection grades what is new, gets past what is broken, and loses nothing when it is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from desk.collect import FILE, CollectionSummary, collect_class, count_pending_work, lock_class_folder
from desk.gradebook import open_gradebook
from desk.pushes import ReflogSource
from desk.roster import RosterRow
from desk.scores import compute_scores
from desk.shards import select_shard_students
from grading.errors import GraderError, UsageError
from grading.manifest.loader import load_manifest
from grading.render.progress_watch import SilentWatch
from grading.sandbox.launch import choose_fence
from tests.desk.conftest import make_attempt_at
from tests.desk.school import BROKEN, RECIPE, ROOT, TERM, School, make_released_files, make_solved_files
from tests.desk.test_deadlines import DUE, due_manifest
from tests.render.results import build_not_yet, build_result
from tests.sandbox.test_start import fake_bubblewrap

pytestmark = pytest.mark.skipif(
    choose_fence(official=False) == "process", reason="official grading needs a sandbox, and none works here"
)


@pytest.fixture
def school(tmp_path: Path) -> School:
    """Create an empty school."""
    return School(tmp_path / "school")


def collect_school(school: School, folder: Path, **options: object) -> CollectionSummary:
    """Collect the school's class."""
    return collect_class(ROOT, folder, school.rows, ReflogSource(), SilentWatch(), **options)  # type: ignore[arg-type]


def test_a_class_is_graded_once_and_then_found_unchanged(school: School, class_folder: Path) -> None:
    """Working code unlocks, broken code does not, untouched milestones are not graded, and no file is graded twice."""
    school.enroll_student("ada", make_released_files() | make_solved_files())
    school.enroll_student("bob", make_released_files() | BROKEN)
    school.enroll_student("cyd", make_released_files())
    first = collect_school(school, class_folder)
    assert (first.students, first.changed, first.graded, first.troubles) == (3, 3, 2, ())
    with open_gradebook(class_folder / FILE) as book:
        ada, bob = book.list_gradings()
        whole = book.load_result(ada.id)
    assert (ada.student, ada.milestone, ada.verdict, ada.met) == (
        "ada",
        1,
        "unlocked" if ada.met == ada.criteria else "not_yet",
        ada.met,
    )
    assert (bob.student, bob.verdict) == ("bob", "not_yet")
    assert whole.official
    assert whole.submission.student == "ada"
    assert (
        whole.submission.commit
        == ada.commit
        == school.run_git("-C", str(school.get_work_folder("ada")), "rev-parse", "HEAD")
    )
    again = collect_school(school, class_folder)
    assert (again.students, again.changed, again.graded, again.troubles) == (3, 0, 0, ())


@pytest.mark.parametrize("written", [("\n", "\r\n"), ("\n", "\r"), ("", "\ufeff")])
def test_an_untouched_recipe_is_not_begun_however_it_was_uploaded(
    school: School, class_folder: Path, written: tuple[str, str]
) -> None:
    """Changed line endings or a byte order mark do not count as work, as on GitHub."""
    old, new = written
    school.enroll_student(
        "ada", {name: text.replace(old, new) if old else new + text for name, text in make_released_files().items()}
    )
    assert collect_school(school, class_folder) == CollectionSummary(1, 1, 0, (), 0)


def test_what_was_there_at_the_deadline_is_graded_too(
    school: School, class_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later work, even if it reverts something, does not hide what was pushed on time."""
    monkeypatch.setattr("desk.collect.load_manifest_strictly", lambda _root: due_manifest())
    on_time = school.enroll_student("ada") and school.push_files(
        "ada", make_released_files() | BROKEN, at=DUE - timedelta(days=1)
    )
    school.push_files(
        "ada", {RECIPE: "def build(late:\n"}, at=DUE + timedelta(days=1), committed=DUE - timedelta(days=9)
    )
    too_late = school.push_files("ada", {RECIPE: "def build(later:\n"}, at=DUE + timedelta(days=8))
    found = collect_school(school, class_folder)
    assert (found.graded, found.guessed) == (3, 0)
    with open_gradebook(class_folder / FILE) as book:
        gradings = {g.commit for g in book.list_gradings()}
        times = [(push.at - DUE, push.source) for push in book.read_pushes()["ada"]]
    assert {on_time, too_late} < gradings
    assert times == [(timedelta(days=days), "reflog") for days in (-1, 1, 8)]
    assert collect_school(school, class_folder).graded == 0


def test_a_push_nobody_tells_the_time_of_counts_when_it_was_seen(
    school: School, class_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command reports this, and the time does not change when the push is seen again."""
    monkeypatch.setattr("desk.collect.load_manifest_strictly", lambda _root: due_manifest())
    school.enroll_student("ada", make_released_files())
    (school.get_repository_path("ada") / "logs/refs/heads/main").unlink()
    assert collect_school(school, class_folder).guessed == 1
    with open_gradebook(class_folder / FILE) as book:
        (seen,) = book.read_pushes()["ada"]
    assert collect_school(school, class_folder).guessed == 1
    with open_gradebook(class_folder / FILE) as book:
        assert book.read_pushes()["ada"] == (seen,)
    assert seen.source == "seen"


def test_broken_repositories_stop_nobody(school: School, class_folder: Path) -> None:
    """Each broken repository is listed with its reason; the others are graded."""
    school.enroll_student("ada", make_released_files() | BROKEN)
    school.enroll_student("empty")
    school.rows += [
        RosterRow("gone", repository=str(class_folder / "nowhere.git")),
        RosterRow("none"),
        RosterRow("private", repository="https://127.0.0.1:9/x/y.git"),
    ]
    found = collect_school(school, class_folder)
    assert found.graded == 1
    told = {trouble.student: trouble.problem for trouble in found.troubles}
    assert set(told) == {"empty", "gone", "none", "private"}
    assert told["empty"] == "the repository is empty"
    assert told["none"] == "the roster lists no repository"
    gone = class_folder / "nowhere.git"
    repair = "If it was moved, correct the `repository` column of the roster"
    assert told["gone"] == f"there is no repository {gone}. {repair}"
    assert "127.0.0.1" in told["private"]


def test_the_same_files_under_another_commit_are_not_graded_again(school: School, class_folder: Path) -> None:
    """Changing other files, or reverting a change, costs nothing."""
    school.enroll_student("ada", make_released_files() | BROKEN)
    collect_school(school, class_folder)
    school.push_files("ada", {"notes.md": "hello"})
    again = collect_school(school, class_folder)
    assert (again.changed, again.graded) == (1, 0)


def test_a_file_too_large_is_refused_as_everywhere(school: School, class_folder: Path) -> None:
    """The file is not even fetched, and the result says why it does not count."""
    school.enroll_student(
        "ada",
        make_released_files() | {"modules/04_layers/recipe.py": "# large\n" * 60_000, "data.bin": "x" * 3_000_000},
    )
    assert collect_school(school, class_folder).graded == 1
    with open_gradebook(class_folder / FILE) as book:
        (one,) = book.list_gradings()
        refused = book.load_result(one.id).submission.refused
    assert [note.path for note in refused] == ["modules/04_layers/recipe.py"]
    assert "larger than 256 KiB" in refused[0].message
    kept = sum(path.stat().st_size for path in (class_folder / "repositories").rglob("*") if path.is_file())
    assert kept < 1_000_000


def test_links_and_repositories_inside_lead_nowhere(school: School, class_folder: Path, tmp_path: Path) -> None:
    """A link is refused as a link, so nothing on this machine can be handed in through it."""
    secret = tmp_path / "secret.py"
    secret.write_text("KEY = 1\n")
    school.enroll_student("ada", make_released_files())
    recipe = school.get_work_folder("ada") / "modules/04_layers/recipe.py"
    recipe.unlink()
    recipe.symlink_to(secret)
    school.push_files("ada", {})
    school.enroll_student("bob", {k: v for k, v in make_released_files().items() if "02_tensor" not in k} | BROKEN)
    (school.get_work_folder("bob") / "modules/02_tensor").symlink_to(tmp_path)
    school.push_files("bob", {})
    assert collect_school(school, class_folder).graded == 2
    with open_gradebook(class_folder / FILE) as book:
        notes = {g.student: book.load_result(g.id).submission.refused[0].message for g in book.list_gradings()}
        results = [text for _, text in book.read_result_texts()]
    assert "link" in notes["ada"]
    assert "modules/02_tensor is a symbolic link" in notes["bob"]
    assert not any("KEY" in text for text in results)


def test_hooks_filters_and_attributes_of_a_repository_do_nothing(
    school: School, class_folder: Path, tmp_path: Path
) -> None:
    """The committed bytes are graded, and nothing from the repository runs."""
    ran = tmp_path / "ran"
    attributes = "*.py filter=evil eol=crlf export-subst ident working-tree-encoding=UTF-16\n"
    school.enroll_student(
        "ada",
        make_released_files()
        | BROKEN
        | {".gitattributes": "", ".gitmodules": '[submodule "x"]\n path = x\n url = ext::sh -c "touch /tmp/x"\n'},
    )
    school.push_files("ada", {".gitattributes": attributes.replace("working-tree-encoding=UTF-16", "")})
    for name in ("post-update", "upload-pack", "pre-receive"):
        hook = school.get_repository_path("ada") / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
    collect_school(school, class_folder)
    with open_gradebook(class_folder / FILE) as book:
        (one,) = book.list_gradings()
        files = {f.path: f.size for f in book.load_result(one.id).submission.files}
    assert files["modules/04_layers/recipe.py"] == len(BROKEN["modules/04_layers/recipe.py"])
    assert not ran.exists()
    assert not list((class_folder / "repositories" / "ada.git").glob("hooks/*"))


def test_records_of_the_branch_progress_come_along(school: School, class_folder: Path) -> None:
    """Each record comes with what the ledger states about it. A record that disappears later is kept and marked."""
    school.enroll_student("ada", make_released_files())
    school.publish_records(
        "ada", make_attempt_at(TERM, build_not_yet()), make_attempt_at(TERM + timedelta(days=1), build_result())
    )
    collect_school(school, class_folder)
    with open_gradebook(class_folder / FILE) as book:
        assert [(r.student, r.run_id, r.reason) for r in book.read_records()] == [("ada", 7, None)] * 2
    for file in (school.folder / "publishing/ada/progress").glob("*.json"):
        file.unlink()
    school.publish_records("ada", make_attempt_at(TERM + timedelta(days=2), build_result()))
    assert collect_school(school, class_folder).changed == 1
    with open_gradebook(class_folder / FILE) as book:
        reasons = [r.reason for r in book.read_records()]
    assert reasons == ["it is gone from the branch progress"] * 2 + [None]


def test_a_killed_collection_loses_nothing_and_goes_on(school: School, class_folder: Path, tmp_path: Path) -> None:
    """What was graded stays graded, the next collection grades the rest, and no process is left running."""
    for number in range(6):
        school.enroll_student(
            f"s{number}", make_released_files() | {"modules/04_layers/recipe.py": f"def build({number}:\n"}
        )
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from desk.collect import collect_class;"
        "from desk.pushes import ReflogSource; from desk.roster import RosterRow;"
        "from grading.render.progress_watch import SilentWatch;"
        "rows = [RosterRow(f's{n}', repository=str(Path(sys.argv[3]) / f's{n}.git')) for n in range(6)];"
        "collect_class(Path(sys.argv[1]), Path(sys.argv[2]), rows, ReflogSource(), SilentWatch(), jobs=1)"
    )
    command = [sys.executable, "-c", script, str(ROOT), str(class_folder), str(school.get_repository_path("s0").parent)]
    private = tmp_path / "tmp"
    private.mkdir()
    process = subprocess.Popen(command, start_new_session=True, env=os.environ | {"TMPDIR": str(private)})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and count_gradings(class_folder) < 2:
        time.sleep(0.1)
    graders = [c for t in Path(f"/proc/{process.pid}/task").iterdir() for c in (t / "children").read_text().split()]
    assert graders
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = count_gradings(class_folder)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(is_running(grader) for grader in graders):
        time.sleep(0.1)
    assert not any(is_running(grader) for grader in graders)
    assert not list(private.glob("tinytorch-grading-*"))
    assert 2 <= before < 6
    assert collect_school(school, class_folder).graded == 6 - before
    assert count_gradings(class_folder) == 6


def is_running(process: str) -> bool:
    """Tell whether one of our processes is still running. One that has exited but is not yet reaped does not count."""
    try:
        return "desk.grading_process" in Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return False


def count_gradings(folder: Path) -> int:
    """Count the results in the gradebook; 0 if there is no gradebook."""
    if not (folder / FILE).is_file():
        return 0
    try:
        with open_gradebook(folder / FILE) as book:
            return len(book.list_gradings())
    except UsageError:
        return 0


def test_fetching_and_grading_are_two_halves(school: School, class_folder: Path) -> None:
    """Fetching runs no student code, and grading contacts no server, even if none exists any more."""
    for student in ("ada", "bob", "cyd"):
        school.enroll_student(student, make_released_files() | {RECIPE: f"def build({student}:\n"})
    fetched = collect_school(school, class_folder, grade=False)
    assert (fetched.changed, fetched.graded) == (3, 0)
    assert count_pending_work(ROOT, class_folder, school.rows) == 3
    (school.folder / "server").rename(school.folder / "gone")
    shards = [select_shard_students(school.rows, f"{number}/2") for number in (1, 2)]
    assert [collect_school(school, class_folder, fetch=False, students=shard).graded for shard in shards] == [2, 1]
    assert count_pending_work(ROOT, class_folder, school.rows) == 0
    assert collect_school(school, class_folder, fetch=False) == CollectionSummary(3, 0, 0, (), 0)


def test_what_a_broken_machine_could_not_judge_is_graded_once_it_works(
    school: School, class_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it has no score, though questions are unanswered too; the next collection grades it for good."""
    school.enroll_student("ada", make_released_files() | make_solved_files())
    with monkeypatch.context() as broken:
        fake_bubblewrap(tmp_path, broken, "Creating newroot failed: No space left on device")
        found = collect_school(school, class_folder)
        assert [trouble.student for trouble in found.troubles] == ["ada"]
        assert "could not be judged: a worker cannot be started on this machine" in found.troubles[0].problem
        assert "No space left on device" in found.troubles[0].problem
        assert read_verdict_and_points(class_folder) == ("error", None)
        assert collect_school(school, class_folder).graded == 1
    repaired = collect_school(school, class_folder)
    assert (repaired.changed, repaired.graded, repaired.troubles) == (0, 1, ())
    verdict, reached = read_verdict_and_points(class_folder)
    assert verdict == "not_yet"
    assert reached is not None
    assert reached > 80
    assert collect_school(school, class_folder).graded == 0


def read_verdict_and_points(folder: Path) -> tuple[str | None, float | None]:
    """Read Ada's verdict and points for milestone 1 from the gradebook."""
    with open_gradebook(folder / FILE) as book:
        score = compute_scores(book, load_manifest(ROOT))["ada"][1]
    return score.verdict, score.points


def test_a_full_disk_is_told_with_its_own_option(
    school: School, class_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message suggests --folder, since these commands have no --to."""
    monkeypatch.setattr("desk.collect.FREE_BYTES", 1 << 80)
    with pytest.raises(GraderError, match="Free 1 GB, or choose a different --folder"):
        collect_school(school, class_folder)


def test_two_collections_do_not_meet(school: School, class_folder: Path) -> None:
    """The second collection reports that one is already running, and does nothing."""
    with (class_folder / "collect.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="Another `inv collect` is running"):
            collect_school(school, class_folder)
    assert collect_school(school, class_folder).students == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_class_on_a_disk_without_locks_is_collected(
    class_folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The command warns once that only one collection may run at a time."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    said = []
    watch = SilentWatch()
    monkeypatch.setattr(watch, "begin_phase", lambda title, _total: said.append(title), raising=False)
    monkeypatch.setattr(fcntl, "flock", flock)
    with lock_class_folder(class_folder, watch):
        pass
    (told,) = said
    assert "has no file locks" in told
