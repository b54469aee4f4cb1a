"""Every command ends with its own exit code whatever the terminal can show, and keeps its record."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from grading import __main__ as grader
from grading.entry import run_and_get_exit_code
from grading.errors import GraderError, Interrupted, UsageError
from grading.files import BusyError, lock_file
from grading.manifest.problems import ManifestError, Problem

ROOT = Path(__file__).resolve().parent.parent
LOCALES = {"ja_JP.EUC-JP": ("ja_JP", "EUC-JP", "euc_jp"), "de_DE.ISO-8859-1": ("de_DE", "ISO-8859-1", "iso8859-1")}
SETTINGS = ["ascii", "latin-1", "euc_jp", *LOCALES]
HERE = os.environ | {"PYTHONPATH": str(ROOT)}
NO_LOCKS = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP]


@pytest.fixture(params=SETTINGS, scope="module")
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a terminal without UTF-8, set by Python's own variable or by a locale made here."""
    name: str = request.param
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIOENCODING", "PYTHONUTF8"))}
    clean |= {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "OPENBLAS_NUM_THREADS": "1"}
    if name not in LOCALES:
        return clean | {"PYTHONIOENCODING": name}
    language, charset, encoding = LOCALES[name]
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales", language).exists():
        pytest.skip(f"this machine has nothing to make the locale {name} of")
    folder = tmp_path_factory.mktemp("locales")
    subprocess.run(["localedef", "-f", charset, "-i", language, str(folder / name)], check=False, capture_output=True)  # noqa: S607
    environment = clean | {"LOCPATH": str(folder), "LC_ALL": name}
    assert (
        run_python("-c", "import sys; print(sys.stdout.encoding)", env=environment).stdout.decode().strip() == encoding
    )
    return environment


def run_python(*arguments: str, env: dict[str, str], **changes: Any) -> subprocess.CompletedProcess[bytes]:
    """Run Python with these arguments."""
    where: dict[str, Any] = {"capture_output": True, **changes}
    return subprocess.run([sys.executable, *arguments], env=env, check=False, **where)


def test_a_long_message_is_wrapped_between_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal it stays one line, so that a log can be searched for it."""

    def fail() -> None:
        raise UsageError("the long-winded explanation of a mistake " * 5)

    assert run_and_get_exit_code(fail) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
    with monkeypatch.context() as without:
        without.setattr(sys, "stderr", None)
        assert run_and_get_exit_code(fail) == 2
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run_and_get_exit_code(fail)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 4
    assert max(map(len, lines)) <= 40
    assert {word for line in lines for word in line.split()} == set("the long-winded explanation of a mistake".split())


def test_a_command_in_a_message_is_not_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a line of its own, even if it is longer than the terminal is wide."""

    def fail() -> None:
        raise UsageError(f"{path} cannot be read. Restore it: git checkout -- {path}")

    path = "modules/04_layers/README.md"
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run_and_get_exit_code(fail)
    lines = [f"{path} cannot be", "read. Restore it:", f"git checkout -- {path}"]
    assert capsys.readouterr().err.splitlines() == lines


def test_a_passed_module_is_passed_and_recorded_on_any_terminal(terminal: dict[str, str], tmp_path: Path) -> None:
    """`python -m grading` shows its report, writes its record and ends with 0."""
    target = tmp_path / "result.json"
    ran = run_python("-m", "grading", "module", "01_setup", "--json", str(target), env=terminal, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"PASSED  3 of 3 criteria met." in ran.stdout
    assert json.loads(target.read_text())["verdict"] == "unlocked"


def test_a_report_of_any_letters_is_shown_on_any_terminal(terminal: dict[str, str], tmp_path: Path) -> None:
    """What student code said in other letters is replaced; "not yet" is still 1, with its record."""
    shutil.copytree(ROOT / "modules", tmp_path / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    code = tmp_path / "modules" / "01_setup" / "tinytorch" / "setup.py"
    code.write_text(code.read_text("utf-8") + "\nraise ValueError('日本 é ≥ \\ud800')\n", "utf-8")
    target, tree = tmp_path / "result.json", str(tmp_path)
    ran = run_python("-m", "grading", "module", "01_setup", "--submission", tree, "--json", str(target), env=terminal)
    assert (ran.returncode, ran.stderr) == (1, b"")
    assert b"NOT YET" in ran.stdout
    assert json.loads(target.read_text())["verdict"] == "not_yet"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["-m", "grading.github", "plan", "--student", str(ROOT)], "milestone-1 "),
        (["-m", "tito", "milestone", "status"], "16 modules"),
        (["-m", "tito", "module", "list"], "02_tensor"),
        (["-m", "invoke", "--list"], "collect"),
        (["-m", "invoke", "roster", "--folder", "{folder}"], "not CSV|unknown column"),
        (["-m", "nox", "-l"], "milestone-1"),
        (["-m", "course.checks", "manifest_and_disk"], "All checks pass|to fix"),
        (["-m", "grading.manifest", "check"], "milestones.yaml is valid"),
    ],
    ids=lambda value: " ".join(value[1:3]) if isinstance(value, list) else "",
)
def test_every_entry_point_writes_on_any_terminal(
    terminal: dict[str, str], tmp_path: Path, command: list[str], says: str
) -> None:
    """None of them ends in a traceback for a sign that cannot be shown."""
    (tmp_path / "roster.csv").write_text("id,日本 ≥\nada,é\n", "utf-8")
    ran = run_python(*(part.format(folder=tmp_path) for part in command), env=terminal, cwd=ROOT)
    assert b"Traceback" not in ran.stderr
    assert re.search(says, ran.stdout.decode("latin-1"))
    assert ran.returncode == (1 if "roster" in command else 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_report_that_a_full_disk_does_not_take_leaves_its_record(tmp_path: Path) -> None:
    """The record is written all the same, and the exit code is the machine's 3."""
    target = tmp_path / "result.json"
    command = ("-m", "grading", "module", "01_setup", "--json", str(target))
    with Path("/dev/full").open("wb") as full:
        ran = run_python(*command, env=HERE, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 3
    assert b"No space left on device" in ran.stderr
    assert json.loads(target.read_text())["verdict"] == "unlocked"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["-m", "grading", "module", "01_setup", "--json", "result.json"], 0),
        (["-m", "tito", "module", "list"], 3),
        (["-m", "tito", "milestone", "status", "--json"], 3),
        (["-m", "grading.github", "plan", "--student", str(ROOT)], 3),
    ],
)
def test_a_reader_who_has_gone_changes_no_verdict(command: list[str], code: int, tmp_path: Path) -> None:
    """`… | head -1` ends no grading before its record, and never with the 1 of "not yet"."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        ran = run_python(
            *command, env=HERE, cwd=ROOT if "tito" in command else tmp_path, capture_output=False, stdout=pipe
        )
    assert ran.returncode == code
    if code == 0:
        assert json.loads((tmp_path / "result.json").read_text())["verdict"] == "unlocked"


def parser_error() -> None:
    """Raise the error of a command line framework for an option that does not exist."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(lambda: None)
    app(["--nonsense"], standalone_mode=False)


def make_failing_command(error: BaseException) -> Any:
    """Make a command that raises this exception."""

    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (make_failing_command(UsageError("no such thing")), 2, "no such thing"),
        (
            make_failing_command(ManifestError([Problem("m.yaml", 3, "is wrong.", "Fix it.")])),
            2,
            "m.yaml:3: is wrong. Fix it.",
        ),
        (parser_error, 2, "--nonsense"),
        (make_failing_command(GraderError("no disk")), 3, "says nothing about your code.\nno disk"),
        (
            make_failing_command(PermissionError(13, "Permission denied", "progress")),
            3,
            "progress cannot be used: Permission denied.",
        ),
        (make_failing_command(UnicodeEncodeError("ascii", "é", 0, 1, "no")), 3, "Traceback"),
        (make_failing_command(RecursionError("deep")), 3, "RecursionError: deep"),
        (make_failing_command(KeyboardInterrupt()), 130, "Interrupted"),
        (make_failing_command(EOFError()), 130, "Interrupted"),
        (make_failing_command(typer.Abort()), 130, "Interrupted"),
        (lambda: 130, 130, "Interrupted"),
        (make_failing_command(Interrupted("three answers are kept")), 130, "three answers are kept"),
    ],
)
def test_an_exit_code_says_whose_the_trouble_is(
    command: Any, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 is a command's own answer alone: no exception ends with it."""
    assert run_and_get_exit_code(command) == code
    assert says in capsys.readouterr().err


def test_what_is_said_in_the_end_drives_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """An error's message may hold a name of a student's."""
    assert run_and_get_exit_code(make_failing_command(UsageError("a\x1b[2Jb"))) == 2
    assert capsys.readouterr().err == "ab\n"


def test_every_program_of_the_course_ends_by_the_one_piece() -> None:
    """A file that can be started goes through `run_and_get_exit_code`, unless it answers a protocol or only writes."""
    others = {"grading/worker/main.py", "grading/checks/product_timing.py", "desk/grading_process.py"}
    others |= {f"course/{name}.py" for name in ("write_digits", "significance", "trajectories", "transformer_values")}
    others.add("course/github.py")  # the main function that it calls goes through `run_and_get_exit_code`
    others.add("course/templates/classroom50/autograder.py")  # it runs where nothing of the course can be imported
    for folder in ("grading", "tito", "desk", "site/website", "course"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            starts = re.search(r"^if __name__ == .__main__.:", text, re.MULTILINE)
            if starts and path.relative_to(ROOT).as_posix() not in others:
                assert "run_and_get_exit_code(" in text, path


def test_a_bug_in_the_grader_is_no_not_yet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 3 and a traceback for the maintainers."""
    monkeypatch.setattr(grader, "grade_module", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["grading", "module", "01_setup"])
    with pytest.raises(SystemExit) as ended:
        grader.main()
    assert ended.value.code == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_record_is_written_before_the_report_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the terminal does to the command then, the record is there."""
    target = tmp_path / "result.json"

    def show(*_: object) -> None:
        """Assert that the record exists, and fail to show the report."""
        assert json.loads(target.read_text())["verdict"] == "unlocked"
        raise RuntimeError("no terminal")

    monkeypatch.setattr(grader.terminal_report, "print_result_report", show)
    monkeypatch.setattr(sys, "argv", ["grading", "module", "01_setup", "--json", str(target)])
    with pytest.raises(SystemExit) as ended:
        grader.main()
    assert ended.value.code == 3


@pytest.mark.parametrize("number", [*NO_LOCKS, errno.EINVAL])
def test_a_disk_without_locks_is_neither_busy_nor_read_only(
    number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Lustre and some network disks do not support flock: then there is no lock, and a message says so."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (tmp_path / "lock").open("w") as file:
        assert lock_file(file) is False
        assert lock_file(file, wait=True) is False


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_only_a_lock_that_somebody_holds_is_busy(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """EAGAIN and EACCES are how systems say so."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with (tmp_path / "lock").open("w") as file:
        assert lock_file(file) is True
        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(BusyError):
            lock_file(file)
