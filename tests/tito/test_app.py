"""How tito answers: exit codes, help, plain text, and sentences instead of tracebacks."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main

from grading import progress
from grading.errors import GraderError
from grading.progress import Kind, make_module_event, save_event
from tests.render.results import build_not_yet
from tests.tito.conftest import ROOT
from tito import status as drawn
from tito.commands import app

MAIN = [sys.executable, "-c", "from tito.app import main; main()"]
GROUPS = {"module": ["list", "view", "start", "test", "reset", "solution", "complete"]}
GROUPS["milestone"] = ["status", "timeline", "test", "demo", "quiz", "celebrate", "troubleshoot"]
GROUPS["data"] = ["list", "fetch", "where"]
ALONE = ["compare", "doctor", "hint", "portfolio", "update", "watch"]
COMMANDS = [(group, name) for group, commands in GROUPS.items() for name in commands] + [(name,) for name in ALONE]


def build_environment(**changes: str) -> dict[str, str]:
    """Return the environment for a command in a separate process."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"} | changes


def test_there_are_exactly_these_commands() -> None:
    """The command line has the commands of the course and no others."""
    command = typer.main.get_command(app)
    found = {name: sorted(getattr(c, "commands", {})) for name, c in command.commands.items()}
    assert found == {name: [] for name in ALONE} | {group: sorted(names) for group, names in GROUPS.items()}


@pytest.mark.parametrize("command", [(), ("module",), ("milestone",), *COMMANDS])
@pytest.mark.usefixtures("repo")
def test_help_helps(tito, command: tuple[str, ...]) -> None:
    """Every command explains itself in plain text, with an example that contains the command."""
    answer = tito(*command, "--help")
    assert answer.code == 0
    assert "\x1b" not in answer.out
    assert "Usage: tito" in answer.out
    if command in COMMANDS:
        assert re.search(rf"Examples?:\s+tito {' '.join(command)}", answer.out)


@pytest.mark.parametrize(
    ("wrong", "meant"), [(("modul",), "module"), (("module", "veiw"), "view"), (("milestone", "tset"), "test")]
)
def test_a_misspelt_command_is_answered_with_the_right_one(tito, wrong: tuple[str, ...], meant: str) -> None:
    """A wrong command name gets "did you mean" and exit code 2."""
    answer = tito(*wrong)
    assert answer.code == 2
    assert f"Did you mean '{meant}'" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("module", "view", "16"),
        ("module", "start", "16_tinygpt"),
        ("module", "test", "tinygpt"),
        ("module", "complete", "16"),
        ("milestone", "test", "5"),
        ("milestone", "demo", "5"),
        ("milestone", "quiz", "5"),
        ("milestone", "troubleshoot", "5"),
    ],
)
def test_what_is_planned_cannot_be_worked_on(repo: Path, tito, arguments: tuple[str, ...]) -> None:
    """A planned part is reported as planned with exit code 2, and nothing is recorded."""
    manifest = (repo / "milestones.yaml").read_text(encoding="utf-8")
    for name in ("  - id: 16_tinygpt\n", "  - id: 5\n"):
        manifest = manifest.replace(name, f"{name}    status: planned\n")
    (repo / "milestones.yaml").write_text(manifest, "utf-8")
    answer = tito(*arguments)
    assert answer.code == 2
    assert "is planned" in answer.err
    assert not (repo / progress.FOLDER).exists()


def test_commands_work_from_any_folder_of_the_repository(repo: Path, tito, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the repository in a parent folder; outside a repository the message says what to do."""
    monkeypatch.chdir(repo / "modules" / "02_tensor" / "tinytorch")
    assert tito("milestone", "status").code == 0
    monkeypatch.chdir(repo.parent)
    answer = tito("milestone", "status")
    assert answer.code == 2
    assert "Change to your course repository" in answer.err


@pytest.mark.parametrize("command", [("milestone", "status"), ("milestone", "test", "1"), ("module", "list")])
@pytest.mark.parametrize("damage", ["course: [", "modules: 3\n", "\x00", "modules: []\nmilestones: []\n", ""])
def test_a_wrong_manifest_is_answered_with_its_line(repo: Path, tito, command: tuple[str, ...], damage: str) -> None:
    """An unreadable manifest gives a message with file and line, and exit code 2."""
    (repo / "milestones.yaml").write_text(damage)
    answer = tito(*command)
    assert answer.code == 2
    assert re.search(r"milestones\.yaml:\d+: ", answer.err)


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (GraderError("no disk"), 3, "says nothing about your code"),
        (KeyboardInterrupt(), 130, "are unchanged"),
        (EOFError(), 130, "are unchanged"),
        (PermissionError(13, "no"), 3, "tito doctor"),
    ],
)
def test_expected_errors_are_sentences(
    tito, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    """Machine errors, grader errors and interruptions have their own exit codes and no traceback."""

    def fail(**_: object) -> int:
        raise error

    monkeypatch.setattr(drawn, "show_milestone_states", fail)
    answer = tito("milestone", "status")
    assert answer.code == code
    assert said in answer.err


@pytest.mark.usefixtures("repo")
def test_a_bug_is_not_hidden(tito, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error keeps its traceback and counts as ours: its exit code is never 1, which is a student's."""

    def fail(**_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(drawn, "show_milestone_states", fail)
    answer = tito("milestone", "status")
    assert answer.code == 3
    assert "RuntimeError: a bug" in answer.err
    assert "says nothing about your code" in answer.err


@pytest.mark.parametrize("arguments", [["milestone", "status"], []])
def test_the_status_imports_nothing_slow(repo: Path, arguments: list[str]) -> None:
    """`tito milestone status` and `tito` are quick without NumPy, pytest, pydantic and the command-line framework."""
    save_event(repo, progress.make_attempt_event(build_not_yet()))
    probe = (
        f"import sys; from tito.app import run_command_line; run_command_line({arguments}); print(sorted(sys.modules))"
    )
    command = [sys.executable, "-c", probe]
    out = subprocess.run(command, env=build_environment(), capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in eval(out.stdout.splitlines()[-1])}  # noqa: S307 - our own list
    assert "rich" in loaded
    assert not loaded & {"numpy", "pytest", "pydantic", "typer", "jinja2"}


def test_tito_alone_says_where_one_is_and_what_is_next(repo: Path, tito, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the module, the progress and one command; outside a repository, the help."""
    save_event(repo, make_module_event(Kind.MODULE_STARTED, "01_setup"))
    answer = tito()
    assert answer.code == 0
    assert "Module 01_setup  Setup and Measuring  in progress since" in answer.out
    assert "0 of 16 modules" in answer.out
    assert answer.out.count("\n  tito ") == 1
    assert "\n  tito module test 01_setup\n" in answer.out
    monkeypatch.chdir(repo.parent)
    assert "Usage: tito" in tito().out


def test_the_version_is_shown(tito) -> None:
    """The version is that of the installed course."""
    answer = tito("--version")
    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(r"tito \d+\.\d+\.\d+\n", answer.out)


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tito ", {"module", "milestone", "data", "doctor", "portfolio"}),
        ("tito module ", set(GROUPS["module"])),
        ("tito module view 0", {"01_setup", "04_layers", "09_autograd"}),
        ("tito milestone test ", {"1", "5"}),
    ],
)
def test_a_shell_completes_commands_and_names(typed: str, offered: set[str]) -> None:
    """Completion offers commands, modules and milestones, and nothing else."""
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_TITO_COMPLETE": "complete_bash"}
    done = subprocess.run(MAIN, env=build_environment(**words), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert offered <= set(done.stdout.split())


@pytest.mark.usefixtures("repo")
def test_an_interruption_is_never_silent(tito, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C gives a message, although the command-line framework alone would only set an exit code."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for command, said in (("module", "Nothing was recorded"), ("milestone", "This attempt was not recorded")):
        monkeypatch.setattr(f"tito.attempt.grade_{command}", interrupt)
        answer = tito(command, "test", "1")
        assert answer.code == 130
        assert said in answer.err
        assert f"To run it again: tito {command} test " in answer.err
    monkeypatch.setattr("tito.module.read_outline", interrupt)
    answer = tito("module", "list")
    assert (answer.code, "are unchanged" in answer.err) == (130, True)


def test_both_ways_to_the_status_agree(repo: Path, tito) -> None:
    """The shortcut and the framework print the same."""
    save_event(repo, make_module_event(Kind.MODULE_STARTED, "01_setup"))
    quick = tito("milestone", "status", "--json")
    assert app(["milestone", "status", "--json"], standalone_mode=False) == 0
    assert json.loads(quick.out)["milestones"][0]["state"] == "in_progress"


def run_on_terminal(arguments: list[str], width: int, folder: Path, **changes: str) -> str:
    """Return what a command prints on a terminal of this width."""
    primary, secondary = pty.openpty()
    command = subprocess.Popen(
        [*MAIN, *arguments], cwd=folder, env=build_environment(COLUMNS=str(width), **changes), stdin=secondary,
        stdout=secondary, stderr=secondary, close_fds=True,
    )  # fmt: skip
    os.close(secondary)
    shown = b""
    try:
        while piece := os.read(primary, 65536):
            shown += piece
    except OSError:  # the end of a terminal
        pass
    os.close(primary)
    assert command.wait(timeout=60) == 0
    return shown.decode()


@pytest.mark.parametrize("width", [40, 120])
@pytest.mark.parametrize("command", ["status", "timeline"])
def test_listings_fit_a_terminal(repo: Path, command: str, width: int) -> None:
    """Lines fit narrow and wide terminals, in colour; with NO_COLOR there is none."""
    coloured = run_on_terminal(["milestone", command], width, repo)
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", coloured)
    plain = run_on_terminal(["milestone", command], width, repo, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", plain).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.usefixtures("repo")
def test_an_ascii_terminal_is_no_trouble() -> None:
    """If only ASCII can be written, tito writes ASCII and does not fail."""
    for command in (["milestone", "timeline"], ["module", "start", "02"], ["doctor"]):
        done = subprocess.run(
            [*MAIN, *command],
            env=build_environment(PYTHONIOENCODING="ascii", LC_ALL="C"),
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        assert done.stdout.isascii()
