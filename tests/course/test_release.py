"""The student repository is complete, sealed and reproducible, and never overwrites a student's work."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from course.checks.course_tree import CourseTree
from course.release import write_release
from grading.errors import UsageError
from grading.lock import find_changed_course_files
from grading.manifest.file_checks import find_missing_file_problems
from grading.manifest.loader import ManifestError, load_manifest
from grading.quiz.student_questions import build_student_questions

from .conftest import CODE, LESSON, RECIPE, TESTS


def read_tree(folder: Path) -> dict[str, bytes]:
    """Read every file in a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def released(whole, tmp_path_factory) -> Path:
    """Write one release for all tests, which must not change it."""
    return write_release(whole.root, tmp_path_factory.mktemp("releases") / "student").target


@pytest.fixture
def student(released, tmp_path) -> Path:
    """Return a copy of the release to work in."""
    folder = tmp_path / "student"
    for name, data in read_tree(released).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_release_has_everything_a_student_needs_and_nothing_else(released):
    """Code, recipe, tests, lesson, grader, command line and documents are released, but not the maintainers' files."""
    files = read_tree(released)
    integration = "modules/01_shapes/test_integration.py"
    for path in (CODE, RECIPE, TESTS, LESSON, integration, "noxfile.py", "LICENSE", "docs/result-format.md"):
        assert Path(path).as_posix() in files
    top = {Path(name).parts[0] for name in files}
    assert top == {
        ".devcontainer", ".gitignore", ".vscode", "AGENTS.md", "LICENSE", "README.md", "constraints.txt",
        "course.base.json", "course.lock.json",
        "docs", "grading", "milestones.yaml", "modules", "noxfile.py", "pyproject.toml", "tito",
    }  # fmt: skip


def set_grader(course, yaml_text: str) -> None:
    """Set the repository that grades in the course's manifest."""
    path = course.root / "milestones.yaml"
    text = path.read_text()
    assert text.count("course:\n") == 1
    path.write_text(text.replace("course:\n", f"course:\n  grader: {yaml_text}\n"))


def test_a_release_that_knows_its_repository_has_workflows(course, tmp_path):
    """Two workflows call two others by the repository name and ref in the manifest, and all four are released."""
    set_grader(course, "{repository: class/tinytorch, ref: v1}")
    files = read_tree(write_release(course.root, tmp_path / "student").target)
    workflows = {name: data.decode() for name, data in files.items() if name.startswith(".github/workflows/")}
    called = {"grade.yml": "autograde.yml", "report.yml": "autograde-forks.yml"}
    assert {Path(name).name for name in workflows} == {*called, *called.values()}
    for name, caller in called.items():
        path = f".github/workflows/{name}"
        assert files[path] == (course.root / path).read_bytes()
        assert f"uses: class/tinytorch/.github/workflows/{name}@v1\n" in workflows[f".github/workflows/{caller}"]


def test_workflows_make_no_verdict(course, tmp_path):
    """A student who edits a workflow has not changed a course file, and the desk does not report it."""
    set_grader(course, "{repository: class/tinytorch, ref: v1}")
    target = write_release(course.root, tmp_path / "student").target
    (target / ".github/workflows/autograde.yml").unlink()
    assert find_changed_course_files(target) == ()


def set_solutions(course, yaml_value: str) -> CourseTree:
    """Set in the manifest when students get the solutions."""
    path = course.root / "milestones.yaml"
    path.write_text(path.read_text().replace("course:\n", f"course:\n  solutions: {yaml_value}\n", 1))
    return CourseTree(course.root, load_manifest(course.root))


@pytest.mark.parametrize(
    ("said", "given"), [("never", False), ("always", True), ("2020-01-31", True), ("2999-12-31", False)]
)
def test_solutions_are_given_where_the_manifest_says_so(course, tmp_path, said, given):
    """They are in a separate folder, complete and without markers, and in no other file of the release."""
    report = write_release(set_solutions(course, said).root, tmp_path / "student")
    files = read_tree(report.target)
    shipped = {name: data.decode() for name, data in files.items() if name.startswith("solutions/")}
    assert report.has_solutions == bool(shipped) == given
    if given:
        assert set(shipped) == {"solutions/01_shapes/tinytorch/shapes.py", "solutions/01_shapes/recipe.py"}
        assert "return side * side" in shipped["solutions/01_shapes/tinytorch/shapes.py"]
        assert "SOLUTION" not in "".join(shipped.values())
    elsewhere = b"".join(data for name, data in files.items() if not name.startswith("solutions/"))
    assert b"self.width * self.height" not in elsewhere
    (report.target / "solutions").mkdir(exist_ok=True)
    (report.target / "solutions" / "notes.py").write_text("mine = 1\n")
    assert find_changed_course_files(report.target) == ()


@pytest.mark.parametrize("said", ["soon", "2026-02-30", "true"])
def test_a_day_that_does_not_exist_releases_nothing(course, tmp_path, said):
    """The manifest's setting for solutions must be one of the known words or a valid date."""
    with pytest.raises(ManifestError, match="solutions"):
        write_release(set_solutions(course, said).root, tmp_path / "student")


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("{repository: tinytorch, ref: v1}", "repository"),
        ("{repository: ../../tinytorch, ref: v1}", "repository"),
        ("{repository: class/tiny torch, ref: v1}", "repository"),
        ("{repository: class/tinytorch, ref: v1..v2}", "ref"),
        ("{repository: class/tinytorch, ref: 'v1 # x'}", "ref"),
        ("{repository: class/tinytorch}", "ref"),
    ],
)
def test_what_is_no_repository_or_ref_never_reaches_a_workflow(course, tmp_path, said, named):
    """The name and ref are written into a file that GitHub runs, so invalid ones prevent the release."""
    set_grader(course, said)
    with pytest.raises(ManifestError, match=named):
        write_release(course.root, tmp_path / "student")


def test_figures_that_tests_compare_with_are_shipped_and_locked(course, tmp_path):
    """A module's reference.json is released with its tests, and a change to it is reported."""
    figures = Path("modules/01_shapes/reference.json")
    (course.root / figures).write_text('{"square": 4}')
    target = write_release(course.root, tmp_path / "student").target
    assert (target / figures).read_text() == '{"square": 4}'
    (target / figures).write_text('{"square": 5}')
    assert find_changed_course_files(target) == (figures.as_posix(),)


def test_the_released_manifest_loads_and_asks_the_same(whole, released):
    """The sealed manifest differs from the course's only in its answer keys."""
    manifest, original = load_manifest(released), whole.manifest
    assert find_missing_file_problems(manifest, released) == ()
    assert manifest.modules == original.modules
    ours, theirs = original.milestone(1), manifest.milestone(1)
    assert theirs.model_copy(update={"questions": ours.questions}) == ours
    assert build_student_questions(theirs, "ada") == build_student_questions(ours, "ada")
    assert all(question.sealed for question in theirs.questions)
    assert not {"answer", "right", "wrong"} & {k for q in theirs.questions for k in q.model_dump(exclude_defaults=True)}


def test_a_released_manifest_is_no_source_of_a_release(released, tmp_path):
    """A sealed manifest cannot be released again, and nothing is written."""
    with pytest.raises((ValueError, OSError)):
        write_release(released, tmp_path / "again")
    assert not list(tmp_path.iterdir())


def test_the_same_course_gives_the_same_bytes(whole, released, tmp_path):
    """Two releases of the same course are identical byte for byte."""
    again = write_release(whole.root, tmp_path / "another-name")
    assert read_tree(again.target) == read_tree(released)
    assert [path.as_posix() for path in again.files] == sorted(path.as_posix() for path in again.files)


def test_every_released_python_file_is_python(released):
    """Every released Python file parses, including the skeletons."""
    for name, data in read_tree(released).items():
        if name.endswith(".py"):
            ast.parse(data, name)


def test_released_settings_are_a_students(whole, released):
    """The project has the name that `tito doctor` expects, and installs only tito and the built modules."""
    project = tomllib.loads((released / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["dev-mode-dirs"] == [".", "modules/01_shapes"]
    assert project["project"]["scripts"] == {"tito": "tito.app:main"}
    assert list(project["dependency-groups"]) == ["github"]
    assert project["project"]["name"] == tomllib.loads((whole.root / "pyproject.toml").read_text())["project"]["name"]
    assert not {"ruff", "mypy"} & set(project["tool"])
    ignored = (released / ".gitignore").read_text()
    assert "progress" not in ignored
    assert "answers" not in ignored


def test_nothing_is_changed_in_a_fresh_release(released):
    """The lock matches the released files."""
    assert find_changed_course_files(released) == ()


def test_changed_and_deleted_course_files_are_named(student):
    """Tests, manifest and grader count; the student's own files and annotated lessons do not."""
    (student / CODE).write_text("mine")
    (student / RECIPE).unlink()
    (student / LESSON).write_text("annotated")
    (student / "new.py").write_text("mine, too")
    assert find_changed_course_files(student) == ()
    (student / TESTS).write_text("def test_nothing(): pass\n")
    (student / "milestones.yaml").write_text("")
    (student / "grading/grade.py").unlink()
    assert find_changed_course_files(student) == ("grading/grade.py", "milestones.yaml", TESTS.as_posix())


def test_line_ends_of_another_system_are_no_change(student):
    """A checkout with CRLF line endings does not count as an edited course."""
    (student / TESTS).write_bytes((student / TESTS).read_bytes().replace(b"\n", b"\r\n"))
    assert find_changed_course_files(student) == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"files": {}}', '{"files": [1]}', '{"files": {"a": 1}}', "[" * 9999]
)
def test_a_spoiled_lock_is_itself_a_change(student, text):
    """An emptied lock is itself reported as a change."""
    (student / "course.lock.json").write_text(text)
    assert find_changed_course_files(student) == ("course.lock.json",)


def test_a_lock_cannot_point_outside_the_repository(student, tmp_path):
    """A forged path is reported, not followed."""
    (tmp_path / "secret").write_text("")
    names = ["../secret", str(tmp_path / "secret"), "a\0b", "grading"]
    (student / "course.lock.json").write_text(json.dumps({"files": dict.fromkeys(names, "0" * 64)}))
    assert set(find_changed_course_files(student)) == set(names)


def test_no_lock_means_no_release():
    """The course itself has no lock, and nothing in it counts as changed."""
    assert find_changed_course_files(Path(__file__).parent) == ()


def catch_refusal(course, target: Path, *, force: bool) -> str:
    """Return the message of a refusal that changes nothing."""
    before = read_tree(target)
    with pytest.raises(UsageError) as caught:
        write_release(course.root, target, force=force)
    assert read_tree(target) == before
    assert [p.name for p in target.parent.iterdir() if p.name.startswith(f".{target.name}-")] == []
    return str(caught.value)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_release_is_never_written_into(whole, tmp_path, force):
    """A folder with somebody's notes is never changed, even with --force."""
    target = tmp_path / "notes"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    assert "neither empty nor an earlier release" in catch_refusal(whole, target, force=force)


def test_an_earlier_release_is_replaced_by_force_only(whole, student):
    """Without --force the message mentions the option; with it, the release is replaced but .git is kept."""
    (student / ".git").mkdir()
    (student / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert "--force" in catch_refusal(whole, student, force=False)
    write_release(whole.root, student, force=True)
    assert (student / ".git/HEAD").read_text() == "ref: refs/heads/main\n"
    assert find_changed_course_files(student) == ()
    assert {p.name for p in student.parent.iterdir()} == {"student"}


@pytest.mark.parametrize(
    "name", [CODE.as_posix(), "student.yaml", "progress/1.json", LESSON.as_posix(), TESTS.as_posix()]
)
def test_a_students_work_is_never_replaced(whole, student, name):
    """If one file was changed or added, nothing is written, even with --force."""
    (student / name).parent.mkdir(exist_ok=True)
    (student / name).write_text("my work")
    assert name in catch_refusal(whole, student, force=True)


def test_a_link_in_an_earlier_release_is_work_too(whole, student):
    """A link counts as a student's work, since no release contains links."""
    (student / "link").symlink_to("/etc/hostname")
    assert "link" in catch_refusal(whole, student, force=True)


def test_a_course_with_a_missing_file_is_not_released(course, tmp_path):
    """The missing file is reported, and the target is not created."""
    (course.root / LESSON).unlink()
    with pytest.raises(ManifestError, match=LESSON.as_posix()):
        write_release(course.root, tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_a_file_of_an_unknown_kind_is_not_shipped_silently(course, tmp_path):
    """A stray file in the grader stops the release, and the message names the file."""
    (course.root / "grading/key.pem").write_text("secret")
    with pytest.raises(UsageError, match=r"grading/key\.pem"):
        write_release(course.root, tmp_path / "student")


def test_the_chore_writes_a_release_and_says_what_went_wrong(root, tmp_path):
    """`inv release --to DIR` refuses a folder that is not empty, in one sentence and with exit code 2."""
    (tmp_path / "notes.txt").write_text("mine")
    command = [sys.executable, "-m", "invoke", "release", "--to", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "neither empty nor an earlier release" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("said", [None, "{repository: class/tinytorch, ref: v1}"])
def test_the_chore_says_when_github_will_not_grade(course, root, tmp_path, said):
    """A release without workflows looks normal, so the command reports it and explains what to add to which file."""
    shutil.copy(root / "tasks.py", course.root)
    if said is not None:
        set_grader(course, said)
    command = [sys.executable, "-m", "invoke", "release", "--to", str(tmp_path / "student")]
    # The miniature course has no code: the code is this course's.
    code = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=course.root, env=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("`course.grader`" in done.stdout) == (said is None)
    assert (tmp_path / "student/.github/workflows/autograde.yml").is_file() == (said is not None)
