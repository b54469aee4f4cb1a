"""What the documentation says is true: commands run, examples give what they show, links and names exist.

Each command is run where its reader stands: in a copy of this repository, or in a student's repository with every
solution written. The packages those places need are installed as the pages say.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from uv import find_uv_bin

from course.release import list_student_files, write_release
from course.skeleton import make_solution
from desk.roster import RosterRow
from grading.manifest.loader import load_manifest
from grading.sandbox.launch import choose_fence
from grading.submission import OWN
from tests.desk.books import fill_gradebook
from tests.desk.school import TERM
from tests.docs_commands import (
    PLACEHOLDER,
    PROGRAMS,
    Command,
    find_fenced_blocks,
    find_inline_commands,
    find_reader_place,
    list_chores,
    list_documented_commands,
    list_nox_sessions,
    list_subcommands,
    read_pages,
    remove_fenced_blocks,
)

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 900

UNPACKED = {
    "course": ("--upgrade", "pip", "nox[uv]", "-r", "pyproject.toml", "--group", "course", "--group", "desk"),
    "student": ("pip", "numba>=0.61", "-r", "pyproject.toml"),
}
"""What uv unpacks in each place, in a second: then pip, which takes a minute for it, finds all it is asked for."""

INSTALLED = {
    "course": (
        "pip install --upgrade pip",
        "pip install -e . --group course",
        "pip install -e . --group course --group desk",
        'pip install "nox[uv]"',
    ),
    "student": ("pip install -e .", 'pip install "numba>=0.61"'),
}
"""What is typed once in each place, before anything else."""

ONLY_NAMED = {
    "nox -s tests": "would run itself without end",
    "nox -s ci": "runs the whole of CI, itself among it",
    "inv pictures": "grades milestone 1 again and opens a browser, to draw the README's pictures",
    "nox -s lint": "CI runs it",
    "nox -s course": "CI runs it, for minutes",
    "python -m course.prose": "CI's `lint` runs it",
    "nox -s mutation": "runs for many minutes",
    "nox -s hostile": "runs for fifty minutes; tests/workflows does it with two",
    "nox -s hostile -- -n 2": "runs for twenty minutes and more; tests/workflows does it with two",
    "nox -s commands": "runs these tests, with more commands",
    "nox -s fuzz": "runs for half an hour; tests/fuzz does it with few inputs",
    "nox -s bench": "measures a machine at rest, for minutes",
    "tito data fetch mnist": "downloads 12 MB; tests/data does it from mirrors of its own",
    "tito milestone demo 2 --web": "serves a page until it is interrupted; tests/demos does it",
    "tito milestone demo 2 --web --no-browser": "the same",
    "tito milestone demo 3 --web": "the same",
    "tito milestone demo 3": "trains for a minute or two; tests/demos plays it with few images",
    "tito milestone demo 4": "the same",
    "tito milestone demo 4 --web": "serves a page until it is interrupted; tests/demos does it",
    "tito milestone demo 5": "trains for a minute or two; tests/demos plays it with few functions",
    "tito milestone demo 5 --web": "serves a page until it is interrupted; tests/demos does it",
    "nox -s milestone-2": "CI runs it",
    "nox -s milestone-3": "trains for minutes; tests/checks does it with few images",
    "nox -s milestone-4": "the same",
    "nox -s milestone-5": "the same",
    "tito module complete 06_spatial": "goes on to milestone 2; 04_layers, which goes on to milestone 1, is run",
    "tito module complete 11_training": "goes on to milestone 3, which trains for minutes",
    "tito module complete 13_kernels": "goes on to milestone 4, which does so as well",
    "tito module complete 16_tinygpt": "goes on to milestone 5, which does so as well",
    "tito module reset 02": "puts gaps where the other commands need solutions; tests/tito/test_reset.py does it",
    "tito module reset 02 --task 2.3": "the same",
    "tito module solution 02": "needs a release with solutions; tests/tito/test_solution.py does it",
    "tito update": "needs a newer release; tests/course/test_update.py does it",
    "tito update ../tinytorch-new --dry-run": "the same",
    "tito update ../tinytorch-new": "the same",
    "tito update release.zip --yes": "the same",
    "tito update https://github.com/class/tinytorch --branch main": "the same",
    "tito update --undo": "the same",
    "pip uninstall tinytorch": "removes what is not installed here; tests/test_places.py has such a package",
    "tito watch": "runs until somebody quits; tests/tito/test_watch.py does it",
    "tito watch 01": "the same",
    "tito watch 01_setup": "the same",
    "tito watch 04": "the same",
    "tito compare": "is run with a number; without one it is about whatever was begun last",
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": "downloads 200 MB that no test needs",
    "tito --install-completion": "changes the files of the reader's shell",
    "tito module test": "is run with a number; without one it is about whatever was begun last",
    "tito module complete": "the same",
    "python3 -m venv .venv": "is what these tests begin with",
    "source .venv/bin/activate": "the same",
    "nox -s github -- plan": "is run with a student's tree on the same page",
    "nox -s github -- sandbox": "changes the machine; tests/workflows runs it",
    "nox -s github -- report": "needs a run on GitHub; tests/workflows runs it with a copy of one",
    "nox -s github -- publish": "the same",
    "inv similar --to class/similar.html --against ../last-year/class": (
        "there is no class of last year; tests/desk/test_similar.py compares with one"
    ),
    "pip install -e . --group course --group desk --group cluster": "installs 14 more packages; CI's `tests` has them",
    "dask scheduler --host 127.0.0.1 --scheduler-file scheduler.json": "never ends; tests/desk/test_cluster.py does it",
    "dask worker --scheduler-file scheduler.json --nthreads 1 --nworkers 2": "the same",
    "inv collect --cluster scheduler.json": "needs such a cluster; tests/desk/test_cluster.py has one",
    "pip install dask-jobqueue": "is of use where there is Slurm",
    "python cluster.py": "needs Slurm",
    "inv collect --cluster tcp://10.1.2.3:8786": "the same",
    "inv rename --old ada --new ada_uni": "nobody is renamed in the rehearsal; tests/desk/test_members.py does it",
    "pytest tests/workflows": "CI runs it, for minutes, with the tools of the session `tests`",
}
"""Commands that are not run, only looked up, and why."""

SANDBOX = choose_fence(official=False) != "process"
OF_A_CLASS = (
    "inv report",
    "inv report --to class/report.html",
    'inv override --student ada --milestone 1 --points 80 --comment "By hand." --why "The lab\'s disk was full."',
    'inv override --student ben --milestone 1 --excused --why "A doctor\'s note."',
    'inv override --student ada --milestone 1 --take-back --why "It was another ada."',
    "inv override",
    "inv override --to-csv class/overrides.csv",
    "inv override --from-csv class/overrides.csv",
    "inv feedback",
    "inv feedback --to class/feedback",
    "inv feedback --send",
    "inv leaderboard",
    "inv regrade --preview",
    "inv regrade --preview --to class/regrade.html --csv class/regrade.csv",
    "inv regrade --keep-better",
    "inv regrade --pin",
    "inv regrade",
    "inv similar --to class/similar.html",
    "inv site --to ../tinytorch-site",
    "inv gradebook --format csv --to class/scores.csv",
    "inv gradebook --format canvas --to class/canvas.csv",
    "inv gradebook --format moodle --to class/moodle.csv",
    "inv gradebook --format classroom50 --classroom fall --assignment tinytorch --to class/scores.json",
)
"""What docs/for-instructors.md does with a class that was collected."""

EXITS = {
    ("course", "inv doctor"): (3, "before the first class there is no roster"),
    ("student", "tito hint"): (2, "every task is written: it says how to name one"),
    ("student", "tito compare 06"): (2, "PyTorch is not installed there: it says how"),
    ("student", "tito compare 06 --seed 1234"): (2, "the same"),
    ("student", "tito compare 06 --svg speed.svg"): (2, "the same"),
    ("student", "tito milestone timeline --published"): (2, "nothing has been fetched: it says what to type first"),
    ("course", "nox -s milestone-1 -- --submission ../tinytorch-student --official --student ada --json result.json"): (
        1 if SANDBOX else 3,
        "the release just written has nothing but gaps; without a sandbox, official grading is an error",
    ),
    **{("student", f"tito milestone quiz {n}"): (1, "the questions are not answered") for n in (2, 3, 4, 5)},
    ("student", "tito milestone quiz 1 --answer 1=328 --answer 6=b"): (
        1,
        "the answers of the example are somebody else's",
    ),
}
"""Other exit codes than 0, and why."""

if not SANDBOX:
    without = "without a sandbox nothing is collected"
    EXITS |= {("course", f"inv collect{more}"): (3, without) for more in ("", " --shard 1/2")}
    EXITS |= {("course", command): (2, without) for command in OF_A_CLASS}
    EXITS |= {("course", c): (3, without) for c in OF_A_CLASS if c.startswith("inv regrade") and "--pin" not in c}

NEEDS = {
    "inv rehearse": "inv doctor",
    "inv roster": "inv rehearse",
    "inv collect": "inv rehearse",
    "inv collect --plan-matrix": "inv rehearse",
    "inv collect --shard 1/2": "inv collect",
    "inv merge --shards ../shards": "inv collect",
    **dict.fromkeys(OF_A_CLASS, "inv collect"),
    "tito milestone celebrate 1": "tito milestone test 1",
    "nox -s export -- --format junit --result result.json --to junit.xml": "nox -s milestone-1 -- --json result.json",
    "nox -s github -- plan --student ../tinytorch-student": "inv release --to ../tinytorch-student",
    "nox -s module-02_tensor -- --submission ../tinytorch-student --exit-zero --json result.json": (
        "inv release --to ../tinytorch-student"
    ),
    "nox -s milestone-1 -- --submission ../tinytorch-student --official --student ada --json result.json": (
        "inv release --to ../tinytorch-student"
    ),
}
"""What is typed before, by the same page."""

EVERY_COMMAND = "TINYTORCH_EVERY_COMMAND"
"""The variable with which `nox -s commands` has all modules' commands run, and milestone 1 measured in full."""

FAMILY = re.compile(
    r"(nox -s module-|tito module test |tito module complete (?!04)|pytest modules/)[\w.]+( --task)?( [\w.]+)?"
)
"""Commands that exist for each module, all alike: the first of a kind is run, and the others are looked up."""

MEASURED_ANEW = re.compile(r"(?:nox -s milestone-1 --|tito milestone test 1) --(?:again|seed \d+)")
"""Commands that measure milestone 1 in full although nothing has changed: the first of them is run."""

FEWER_TRAININGS = {"seeds: 5\n": "seeds: 2\n", "demo_runs: 3\n": "demo_runs: 1\n"}
"""What the places' manifests say about milestone 1, which the pages' commands grade in full half a dozen times."""


class Place:
    """A folder to type commands in, with a Python environment of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.environment = folder, environment
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.untouched: subprocess.CompletedProcess[str] | None = None

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line once, after the commands that it needs. Nobody can answer its questions."""
        if needed := NEEDS.get(command):
            self.type(needed)
        if command not in self.done:
            for name in ("student.yaml", "answers/milestone-1.yaml"):
                (self.folder / name).parent.mkdir(exist_ok=True)
                shutil.copy(ROOT / OWN / name, self.folder / name)
            self.done[command] = subprocess.run(  # noqa: S602 - what the pages say is for a shell
                command,
                shell=True,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        return self.done[command]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Copy this repository, as a clone with today's changes would be, and install the course."""
    folder = tmp_path_factory.mktemp("docs") / "course"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_manifest_with_fewer_trainings(folder)
    elsewhere = folder.parent / "classroom50" / "fall" / "roster.csv"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text("username,first_name,last_name,email,section,github_id,role\nada,Ada,L,a@x.org,A,1,student\n")
    fill_gradebook(folder.parent / "shards" / "1" / "gradebook.sqlite", [RosterRow("ada")], {"ada": [(1, 2, TERM)]})
    return install_place(folder, "course")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Make a student's repository, install it as its README says, and then write every solution."""
    folder = tmp_path_factory.mktemp("docs") / "student"
    linked = folder.with_name("course")
    linked.mkdir()
    for path in ROOT.iterdir():
        if path.name != "milestones.yaml":
            (linked / path.name).symlink_to(path)
    write_manifest_with_fewer_trainings(linked)
    write_release(linked, folder)
    place = install_place(folder, "student")
    place.untouched = place.type("nox -s milestone-1")
    place.done.clear()
    manifest = load_manifest(ROOT)
    for path in list_student_files(manifest):
        text = make_solution((ROOT / path).read_text(encoding="utf-8"), manifest, path)
        (folder / path).write_text(text, encoding="utf-8")
    return place


def write_manifest_with_fewer_trainings(folder: Path) -> None:
    """Write the course's manifest into a folder, with fewer trainings of milestone 1 unless every command is run."""
    text = (ROOT / "milestones.yaml").read_text(encoding="utf-8")
    for whole, less in FEWER_TRAININGS.items():
        assert text.index(whole) < text.index("kind: mnist")
        text = text if os.environ.get(EVERY_COMMAND) else text.replace(whole, less, 1)
    (folder / "milestones.yaml").write_text(text, encoding="utf-8")


def install_place(folder: Path, kind: str) -> Place:
    """Create an environment and run the commands of the pages; skip the test if no package can be downloaded."""
    home = folder.parent / f"{kind}-venv"
    venv.create(home, symlinks=True)
    gone = ("VIRTUAL_ENV", "PYTHONPATH", "NOX_CURRENT_SESSION", "CI", "FORCE_COLOR", "NO_COLOR", "TINYTORCH_DATA")
    gone += ("PYTHONDONTWRITEBYTECODE",)
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    environment |= {
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder.parent / f"{kind}-cache"),  # no result of an earlier run is reused
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(caches / "uv")),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(caches / "pip")),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # what is imported is compiled then
        "UV_COMPILE_BYTECODE": "0",
    }
    place = Place(folder, environment)
    uv = [find_uv_bin(), "pip", "install", "--quiet", "--python", str(home), *UNPACKED[kind]]
    if subprocess.run(uv, cwd=folder, env=environment, check=False).returncode:
        pytest.skip("the package registry cannot be reached")
    for command in INSTALLED[kind]:
        done = place.type(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return place


def list_tested_commands() -> list[Command]:
    """List the commands that the tests run, in the order of the pages."""
    families: set[tuple[str, ...]] = set()
    found = []
    for command in list_documented_commands(ROOT):
        found_family = FAMILY.fullmatch(command.text) or MEASURED_ANEW.fullmatch(command.text)
        if found_family and not os.environ.get(EVERY_COMMAND):
            family = (command.place, found_family.re.pattern, *map(str, found_family.groups()[:2]))
            if family in families:
                continue
            families.add(family)
        if command.text not in ONLY_NAMED:
            found.append(command)
    return found


def make_case(command: Command) -> Any:
    """Make a test case; where tests run in several processes, one process runs all cases of a place."""
    return pytest.param(command, id=f"{command.place}: {command.text}", marks=pytest.mark.xdist_group(command.place))


@pytest.mark.parametrize("command", [make_case(command) for command in list_tested_commands()])
def test_what_a_reader_is_told_to_type_works(command: Command, request: pytest.FixtureRequest) -> None:
    """The command ends as its reader expects: with 0, or as the table of exceptions says."""
    place: Place = request.getfixturevalue(command.place)
    expected, _ = EXITS.get((command.place, command.text), (0, ""))
    done = place.type(command.text)
    assert done.returncode == expected, f"{command.source}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.xdist_group("student")
def test_an_untouched_release_names_the_first_task(student: Place) -> None:
    """What the student's README promises: the first grading says “not yet” and which task is first."""
    assert student.untouched is not None
    assert student.untouched.returncode == 1
    assert "Task 1.1" in student.untouched.stdout


def test_the_tables_speak_of_commands_that_are_in_the_pages() -> None:
    """An exception outlives its command no more."""
    known = {(command.place, command.text) for command in list_documented_commands(ROOT)}
    texts = {text for _, text in known}
    assert set(EXITS) <= known
    assert {*ONLY_NAMED, *NEEDS, *NEEDS.values()} <= texts


@pytest.mark.parametrize("page", sorted(read_pages(ROOT)))
def test_every_console_line_is_a_command_or_output_of_one(page: str) -> None:
    """A console block begins with a command, and each of its commands is of a program that these tests know."""
    for block in find_fenced_blocks(read_pages(ROOT)[page], "console"):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        assert lines[0].startswith("$ "), f"{page}: {lines[0]!r} come before any command"
        for line in lines:
            if line.startswith("$ "):
                assert line[2:].split(" ")[0] in PROGRAMS, f"{page}: who runs {line!r}?"


def explain_unknown_words(typed: str, root: Path) -> str | None:
    """Explain why a command cannot be typed as it is written; return None if all its names exist."""
    words = typed.replace("milestone-N", "milestone-1").replace("NN_name", "02_tensor").split()
    match words:
        case ["tito", *rest]:
            from tito.commands import app

            known, name = list_subcommands(typer.main.get_command(app), "tito"), "tito"
            for word in rest:
                if f"{name} {word}" not in known:
                    break
                name = f"{name} {word}"
            group = getattr(known[name], "commands", {})
            left = [w for w in rest[len(name.split()) - 1 :] if not PLACEHOLDER.search(w)]
            if group and left and not left[0].startswith("-"):
                return f"{name} has no {left[0]}"
            options = {o for p in known[name].params for o in p.opts} | {"--help"}
            missing = [word for word in left if word.startswith("-") and word not in options]
            return f"{name} has no {missing[0]}" if missing else None
        case ["nox", "-s", session, *_]:
            return (
                None if session in list_nox_sessions(root) or PLACEHOLDER.search(session) else f"nox has no {session}"
            )
        case ["inv", chore, *_]:
            known = {*list_chores(root), "--list"}
            return None if chore in known or PLACEHOLDER.search(chore) else f"inv has no {chore}"
        case ["pytest", path, *_]:
            return None if (root / path).exists() or PLACEHOLDER.search(path) else f"{path} does not exist"
        case ["python", "-m", module, *_]:
            return None if importlib.util.find_spec(module) else f"there is no module {module}"
    return None


@pytest.mark.parametrize("page", sorted(read_pages(ROOT)))
def test_names_in_prose_exist(page: str) -> None:
    """Every command, session, chore and path in backticks is there, and those of commands that are only named."""
    typed = list(find_inline_commands(read_pages(ROOT)[page]))
    typed += [command.text for command in list_documented_commands(ROOT) if command.source == page]
    wrong = {text: why for text in typed if (why := explain_unknown_words(text, ROOT))}
    assert not wrong


def list_anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get where it is shown."""
    titles = re.findall(r"^#+ (.+)$", remove_fenced_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def find_broken_links(folder: Path, page: str, text: str) -> Iterator[str]:
    """Yield the relative links of a page that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", remove_fenced_blocks(text))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = folder / Path(page).parent / name if name else folder / page
        if not path.exists():
            yield f"{page}: {target}"
        elif anchor and anchor not in list_anchors(path.read_text(encoding="utf-8")):
            yield f"{page}: {target} (no such heading)"


def test_links_lead_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every relative link, here and in a student's repository, names a file, and its anchor a heading."""
    release = tmp_path / "release"
    monkeypatch.setattr("course.release.seal_manifest", lambda manifest: manifest)  # no page needs 1,500 digests
    write_release(ROOT, release)
    here = {page: text for page, text in read_pages(ROOT).items() if not page.endswith(".jinja")}
    there = {p.relative_to(release).as_posix(): p.read_text(encoding="utf-8") for p in release.rglob("*.md")}
    assert not [*(b for p, t in here.items() for b in find_broken_links(ROOT, p, t)), *check_links(release, there)]


def check_links(folder: Path, texts: dict[str, str]) -> list[str]:
    """List the broken links of all these pages."""
    return [one for page, text in texts.items() for one in find_broken_links(folder, page, text)]


def test_every_package_names_its_page_of_the_architecture() -> None:
    """The page exists, and the overview links it, as it does every other."""
    pages_there = {path.name for path in (ROOT / "docs/architecture").iterdir()}
    overview = (ROOT / "docs/architecture/README.md").read_text(encoding="utf-8")
    assert all(f"]({page}" in overview for page in pages_there - {"README.md"})
    tops = ("course", "desk", "grading", "site", "tito")
    packages = [path for top in tops for path in (ROOT / top).rglob("__init__.py")]
    assert len(packages) > 15
    for path in packages:
        named = re.search(r"docs/architecture/([\w-]+\.md)", path.read_text(encoding="utf-8"))
        assert named, f"{path.relative_to(ROOT)} names no page of docs/architecture"
        assert named[1] in pages_there, f"{path.relative_to(ROOT)}: there is no {named[0]}"


def run_doctest(test: doctest.DocTest) -> str:
    """Return the report on the examples of a test whose output differs; empty if none does."""
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(test, out=told.append, clear_globs=False)
    return "".join(told)


@pytest.mark.parametrize(
    "page", sorted(page for page, text in read_pages(ROOT).items() if find_fenced_blocks(text, "pycon"))
)
def test_examples_of_a_page_give_what_they_show(page: str, solutions: list[Any]) -> None:
    """A page's examples are one session, from its first to its last."""
    assert solutions
    session = "\n\n".join(find_fenced_blocks(read_pages(ROOT)[page], "pycon"))
    assert not run_doctest(doctest.DocTestParser().get_doctest(session, {}, page, page, 0))


def test_examples_in_docstrings_give_what_they_show(solutions: list[Any]) -> None:
    """Every docstring's example, of modules and recipes, is true of the solutions."""
    tests = [test for module in solutions for test in doctest.DocTestFinder().find(module) if test.examples]
    assert len(tests) > 10
    assert not "".join(map(run_doctest, tests))


@pytest.mark.parametrize("page", sorted(read_pages(ROOT)))
def test_python_blocks_are_python(page: str) -> None:
    """What is shown as Python can be read by it."""
    for block in find_fenced_blocks(read_pages(ROOT)[page], "python"):
        ast.parse(block)


def test_every_page_is_read_somewhere() -> None:
    """Students' pages and maintainers' pages are both found."""
    places = {page: find_reader_place(page) for page in read_pages(ROOT)}
    assert places["README.md"] == places[".github/CONTRIBUTING.md"] == "course"
    assert places["modules/02_tensor/README.md"] == places["course/templates/README.md.jinja"] == "student"
