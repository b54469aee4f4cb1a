"""`tito update` keeps both the course's changes and the student's work, and one command undoes the update."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from course.manifest_text import format_manifest_as_yaml
from course.release import write_release
from course.skeleton import make_solution
from grading import lock
from grading.manifest.loader import load_manifest
from grading.manifest.model import Task
from tito.app import run_command_line
from tito.merging import merge_student_and_course_text

from .conftest import CODE, LESSON, TESTS

HINTS = ("Think of the circle's radius.", "Begin with the square of it.", "The area is π · radius².")
ROUND = '''

def circle(radius: float) -> float:
    """Return the area of a circle."""
    # BEGIN SOLUTION 1.3
    return 3.14159 * radius * radius
    # END SOLUTION
'''


def read_tree(folder: Path) -> dict[str, bytes]:
    """Read every file in a repository except those of git and tito."""
    files = (path for path in folder.rglob("*") if path.is_file() and not {".git", ".tito"} & set(path.parts))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def replace_once(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs once."""
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


@pytest.fixture(scope="module")
def releases(whole, tmp_path_factory) -> tuple[Path, Path]:
    """Write a release and the next one, with changed hints, docstring, test and files, and a new task."""
    folder = tmp_path_factory.mktemp("versions")
    old = write_release(whole.root, folder / "old").target
    course = folder / "course"
    shutil.copytree(whole.root, course)
    module = whole.manifest.modules[0]
    tasks = [t.model_copy(update={"hints": tuple(f"{hint} More clearly." for hint in t.hints)}) for t in module.tasks]
    tasks.append(Task(id="1.3", title="A circle", hints=HINTS))
    manifest = whole.manifest.model_copy(
        update={
            "modules": (module.model_copy(update={"tasks": tuple(tasks)}),),
            "course": whole.manifest.course.model_copy(update={"version": "0.2.0"}),
        }
    )
    (course / "milestones.yaml").write_text(format_manifest_as_yaml(manifest))
    replace_once(course / CODE, '"""Return the area of a square."""', '"""Return the area of a square: 3.0 → 9.0."""')
    (course / CODE).write_text((course / CODE).read_text() + ROUND)
    (course / TESTS).write_text((course / TESTS).read_text() + "\n# better\n")
    lesson = (course / LESSON).read_text()
    (course / LESSON).write_text(lesson.replace("# Shapes", "# Shapes and circles", 1))
    (course / "grading" / "fresh.py").write_text('"""New."""\n')
    (course / "tito" / "portfolio.py").rename(course / "tito" / "folio.py")
    return old, write_release(course, folder / "new").target


@pytest.fixture
def student(releases, tmp_path, monkeypatch) -> Path:
    """Create a student's repository from the old release, and make it the current folder."""
    folder = tmp_path / "student"
    shutil.copytree(releases[0], folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def tito(capsys) -> Callable[..., tuple[int, str, str]]:
    """Return a function: `tito("update", …)` runs the command and returns exit code, output and errors."""

    def type_(*arguments: str) -> tuple[int, str, str]:
        """Run the command, and return its exit code, output and errors."""
        capsys.readouterr()
        code = run_command_line(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_


def write_solution(whole, student: Path) -> None:
    """Fill every gap of the old release and add a line."""
    text = make_solution((whole.root / CODE).read_text(), whole.manifest, CODE)
    (student / CODE).write_text(text.replace("\n\nclass", "\n\n# my own line\nclass", 1))


def run_git(folder: Path, *arguments: str) -> None:
    """Run git with a name and an e-mail address."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


def test_an_untouched_repository_becomes_the_new_release(releases, student, tito) -> None:
    """The repository then has exactly the files of the new release, and the new tasks are listed."""
    code, out, _ = tito("update", str(releases[1]), "--yes")
    assert code == 0
    assert read_tree(student) == read_tree(releases[1])
    assert "From version 0.1.0 to 0.2.0" in out
    assert "Task 1.3 A circle" in out
    assert "tito update --undo" in out
    code, out, _ = tito("update", str(releases[1]), "--yes")
    assert (code, "nothing to update" in out) == (0, True)


def test_what_was_written_is_merged_with_what_changed(whole, releases, student, tito) -> None:
    """The student's code is kept, the docstring and gap are updated, and reworded gaps cause no conflicts."""
    write_solution(whole, student)
    code, out, _ = tito("update", str(releases[1]), "--yes")
    text = (student / CODE).read_text()
    assert code == 0
    assert "merged with your version" in out
    assert "3.0 → 9.0" in text
    assert "return side * side" in text
    assert "return self.width * self.height" in text
    assert "# my own line" in text
    assert "Task 1.3: write `circle`. Think of the circle's radius." in text
    assert text.count("NotImplementedError") == 1


def test_one_filled_gap_leaves_the_others_new_hint(releases, student, tito) -> None:
    """In a file that was started, an open gap shows the new release's hint."""
    replace_once(student / CODE, (student / CODE).read_text().splitlines()[5], "    return side**2")
    assert tito("update", str(releases[1]), "--yes")[0] == 0
    text = (student / CODE).read_text()
    assert "return side**2" in text
    assert "refuse a negative one. More clearly." in " ".join(text.replace('"', "").split())


def test_a_conflict_is_marked_and_listed(releases, student, tito) -> None:
    """The file contains both versions, and the message states file and line."""
    replace_once(student / CODE, '"""Return the area of a square."""', '"""My words."""')
    code, out, _ = tito("update", str(releases[1]), "--yes")
    lines = (student / CODE).read_text().splitlines()
    start = lines.index("<<<<<<< what you wrote")
    assert '    """My words."""' in lines[start:]
    assert ">>>>>>> the new release" in lines
    assert f"Conflict: {CODE.as_posix()}, line {start + 1}" in out
    assert code == 1


def test_a_dry_run_changes_nothing(whole, releases, student, tito) -> None:
    """A dry run shows the same plan; without a terminal, nothing changes either unless --yes is given."""
    write_solution(whole, student)
    before = read_tree(student)
    shown = [tito("update", str(releases[1]), *more)[1] for more in (("--dry-run",), ())]
    assert read_tree(student) == before
    assert shown[0] == shown[1]
    assert "Nothing was changed" in shown[0]
    assert f"tito update {releases[1]} --yes" in shown[0]
    assert "Task 1.3 A circle" in shown[0]


def test_everything_is_undone_by_one_command(whole, releases, student, tito) -> None:
    """The undo also covers merged, added and removed files; a second undo has nothing to do."""
    write_solution(whole, student)
    before = read_tree(student)
    assert tito("update", str(releases[1]), "--yes")[0] == 0
    assert read_tree(student) != before
    code, out, _ = tito("update", "--undo")
    assert (code, "0.1.0" in out) == (0, True)
    assert read_tree(student) == before
    code, _, err = tito("update", "--undo")
    assert (code, "no update to undo" in err) == (2, True)


def test_what_was_written_after_the_update_survives_its_undo(releases, student, tito) -> None:
    """Such work is kept in a dated copy, whose name is printed."""
    assert tito("update", str(releases[1]), "--yes")[0] == 0
    (student / CODE).write_text("# written afterwards\n")
    _, out, _ = tito("update", "--undo")
    assert (student / CODE).read_bytes() == (releases[0] / CODE).read_bytes()
    (copy,) = (student / CODE).parent.glob("kept-*")
    assert copy.read_text() == "# written afterwards\n"
    assert copy.name in out


@pytest.mark.parametrize("path", [TESTS, Path("grading/fresh.py"), LESSON])
def test_what_cannot_be_merged_is_kept_beside(releases, student, tito, path) -> None:
    """The student's own tests, files in the way of new ones, and lessons that are no longer text are not lost."""
    (student / path).write_bytes(b"mine\xff\n")
    code, out, _ = tito("update", str(releases[1]), "--yes")
    assert (code, f"{path.as_posix()}: replaced; a copy of your version is kept next to it" in out) == (0, True)
    assert (student / path).read_bytes() == (releases[1] / path).read_bytes()
    (copy,) = (student / path).parent.glob(f"kept-*-{path.name}")
    assert copy.read_bytes() == b"mine\xff\n"


def test_notes_in_a_lesson_stay(releases, student, tito) -> None:
    """The notes are merged with the new release's lesson."""
    with (student / LESSON).open("a") as lesson:
        lesson.write("My note.\n")
    assert tito("update", str(releases[1]), "--yes")[0] == 0
    assert (student / LESSON).read_text() == (releases[1] / LESSON).read_text() + "My note.\n"


def test_uncommitted_work_is_refused(whole, releases, student, tito) -> None:
    """The update is refused only if it would touch such work; the message suggests a commit, which is enough."""
    run_git(student, "init", "-q")
    run_git(student, "add", "-A")
    run_git(student, "commit", "-qm", "begin")
    write_solution(whole, student)
    before = read_tree(student)
    code, _, err = tito("update", str(releases[1]), "--yes")
    assert code == 2
    assert "uncommitted work" in err
    assert CODE.as_posix() in err
    assert "git commit -am" in err
    assert read_tree(student) == before
    run_git(student, "commit", "-qam", "work")
    (student / "notes.txt").write_text("mine")
    assert tito("update", str(releases[1]), "--yes")[0] == 0


@pytest.mark.parametrize("kind", ["zip", "zip with a folder", "git", "branch"])
def test_a_release_comes_in_several_forms(releases, student, tito, tmp_path, kind) -> None:
    """A release can be an archive, an archive made by GitHub, a repository, or a branch in a repository."""
    source, more = tmp_path / "release", []
    if kind.startswith("zip"):
        base = releases[1] if kind == "zip" else tmp_path / "around"
        if kind != "zip":
            shutil.copytree(releases[1], base / "tinytorch-main")
        source = Path(shutil.make_archive(str(source), "zip", base))
    else:
        shutil.copytree(releases[1] if kind == "git" else releases[0], source)
        run_git(source, "init", "-q", "-b", "main")
        run_git(source, "add", "-A")
        run_git(source, "commit", "-qm", "release")
        if kind == "branch":
            run_git(source, "checkout", "-qb", "next")
            shutil.copytree(releases[1], source, dirs_exist_ok=True)
            (source / "tito" / "portfolio.py").unlink()
            (source / ".git" / "index").unlink()  # git takes a file changed within a second for the same
            run_git(source, "add", "-A")
            run_git(source, "commit", "-qm", "next")
            run_git(source, "checkout", "-q", "main")
            more = ["--branch", "next"]
    code, _, err = tito("update", str(source), *more, "--yes")
    assert (code, err) == (0, "")
    assert read_tree(student) == read_tree(releases[1])


def test_what_is_no_release_is_refused(releases, whole, student, tito, tmp_path) -> None:
    """Names, folders, text files, the course itself, changed releases and escaping paths are refused."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    changed, evil = tmp_path / "changed", tmp_path / "evil"
    shutil.copytree(releases[1], changed)
    (changed / TESTS).write_text("# other tests\n")
    shutil.copytree(releases[1], evil)
    replace_once(evil / lock.FILE, '"LICENSE"', '"../LICENSE"')
    before = read_tree(student)
    for source, words in {
        "nowhere": "nowhere does not exist",
        str(tmp_path / "empty"): "cannot be cloned",
        str(tmp_path / "text.zip"): "cannot be read as a zip archive",
        str(whole.root): "cannot be cloned",
        str(changed): "has changed since it was released: modules/01_shapes/test_shapes.py",
        str(evil): "course.lock.json cannot be read",
    }.items():
        code, _, err = tito("update", source, "--yes")
        assert (code, words in " ".join(err.split())) == (2, True), err
    assert read_tree(student) == before


def test_a_release_that_does_not_know_its_beginnings_is_refused(releases, student, tito) -> None:
    """For a release older than `tito update` nothing is guessed, and the message says what to do instead."""
    data = json.loads((student / lock.FILE).read_text())
    del data["files"][lock.BASE.as_posix()]
    (student / lock.FILE).write_text(json.dumps(data))
    (student / lock.BASE).unlink()
    before = read_tree(student)
    code, _, err = tito("update", str(releases[1]), "--yes")
    assert (code, "older than `tito update`" in err) == (2, True)
    assert read_tree(student) == before


def test_only_a_students_repository_is_updated(releases, whole, tito, monkeypatch) -> None:
    """The course's own repository has no lock, and is not changed."""
    monkeypatch.chdir(whole.root)
    code, _, err = tito("update", str(releases[1]), "--yes")
    assert (code, "not a released course" in err) == (2, True)


def test_an_update_that_fails_halfway_changes_nothing(whole, releases, student, tito, monkeypatch) -> None:
    """If the disk becomes full halfway, everything is restored, and no update is recorded."""
    write_solution(whole, student)
    before, real, count = read_tree(student), os.replace, iter(range(10_000))

    def fail(source, target):
        """Replace a file, but report a full disk the fifth time."""
        if next(count) == 5:
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr("pathlib.Path.replace", fail)
    assert tito("update", str(releases[1]), "--yes")[0] == 3
    monkeypatch.undo()
    assert read_tree(student) == before


def test_line_ends_of_the_students_stay(whole, releases, student, tito) -> None:
    """A file with Windows line endings is merged by its text, and keeps its line endings."""
    write_solution(whole, student)
    (student / CODE).write_bytes((student / CODE).read_bytes().replace(b"\n", b"\r\n"))
    assert tito("update", str(releases[1]), "--yes")[0] == 0
    data = (student / CODE).read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n")
    assert "3.0 → 9.0".encode() in data


def test_a_gap_over_several_lines_is_one_gap() -> None:
    """A gap's wording may change in the course while the student fills the gap."""
    gap = "def f():\n    raise NotImplementedError(\n        \"Task 1.1: {} it's \"\n        'so'\n    )\n\n\nx = {}\n"
    merged = merge_student_and_course_text(
        "def f():\n    return 1\n\n\nx = 1\n", gap.format("old", 1), gap.format("new", 2)
    )
    assert merged.text == "def f():\n    return 1\n\n\nx = 2\n"
    assert merged.conflicts == ()
    merged = merge_student_and_course_text(
        "mine\n\n" + gap.format("old", 1), gap.format("old", 1), gap.format("new", 2)
    )
    assert merged.text == "mine\n\n" + gap.format("new", 2)


def test_a_function_without_the_lines_that_the_course_gives_is_merged() -> None:
    """A student may have replaced a function's first statements by one line."""
    given = "def f(x):\n    y = 1\n    z = 2\n    raise NotImplementedError('Task 1.1: it')\n\n\nx = {}\n"
    merged = merge_student_and_course_text("def f(x):\n    return 3\n\n\nx = 1\n", given.format(1), given.format(2))
    assert merged.text == "def f(x):\n    return 3\n\n\nx = 2\n"
    assert merged.conflicts == ()


def test_the_released_manifest_is_the_one_that_counts(releases, student, tito) -> None:
    """After the update the lock finds no course file changed."""
    assert tito("update", str(releases[1]), "--yes")[0] == 0
    assert lock.find_changed_course_files(student) == ()
    assert load_manifest(student).course.version == "0.2.0"
