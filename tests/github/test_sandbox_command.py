"""The sandbox is made to work by as little as is missing, or the job ends before student code could run without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grading.errors import GraderError
from grading.github import sandbox_command
from grading.github.sandbox_command import USERNS_RESTRICTION, prepare_sandbox
from grading.sandbox import bubblewrap, launch

RESTRICTED = "bubblewrap cannot create a sandbox here: setting up uid map: Permission denied"
UPDATE, INSTALL = ("apt-get", "update", "-qq"), ("apt-get", "install", "-y", "-qq", "bubblewrap")
ALLOW = ("sysctl", "-w", f"{USERNS_RESTRICTION}=0")


class Machine:
    """A machine on which bubblewrap may be missing and user namespaces forbidden."""

    def __init__(self, *, installed: bool, restricted: bool, root: bool = False, heals: bool = True):
        self.installed, self.restricted, self.root, self.heals = installed, restricted, root, heals
        self.ran: list[tuple[str, ...]] = []

    def find_problem(self) -> str | None:
        """Answer as `bubblewrap.find_bubblewrap_problem` would."""
        if not self.installed:
            return "bubblewrap is not installed"
        return RESTRICTED if self.restricted else None

    def run_command(self, argv, **_options):
        """Record a command, and change the machine as the command would."""
        self.ran.append(tuple(argv))
        command = tuple(argv) if self.root else tuple(argv[2:])
        if self.heals:
            self.installed = self.installed or command == INSTALL
            self.restricted = self.restricted and command != ALLOW
        return subprocess.CompletedProcess(argv, 0 if self.heals else 100)


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Return `on(machine)`, which replaces this machine by a simulated one."""

    def put(machine: Machine, *, landlock: bool = False) -> Machine:
        """Make the code see this machine instead of the real one, and return it."""
        tried = type(
            "Tried", (), {"__call__": lambda _self: machine.find_problem(), "cache_clear": lambda _self: None}
        )()
        monkeypatch.setattr(bubblewrap, "find_bubblewrap_problem", tried)
        monkeypatch.setattr(
            launch, "find_landlock_problem", lambda: None if landlock else "this kernel has no Landlock"
        )
        monkeypatch.delenv(launch.VARIABLE, raising=False)
        monkeypatch.setattr(sandbox_command.subprocess, "run", machine.run_command)
        monkeypatch.setattr(
            sandbox_command.shutil, "which", lambda _name: "/usr/bin/bwrap" if machine.installed else None
        )
        monkeypatch.setattr(sandbox_command.os, "geteuid", lambda: 0 if machine.root else 1000)
        monkeypatch.setattr(sandbox_command, "PROC_SYS", tmp_path)
        setting = tmp_path / USERNS_RESTRICTION.replace(".", "/")
        setting.parent.mkdir(exist_ok=True)
        setting.write_text("1\n" if machine.restricted else "0\n")
        monkeypatch.setattr(sys, "platform", "linux")
        return machine

    return put


def test_nothing_is_done_where_it_works(on):
    """At a desk that has bubblewrap the command only says so."""
    machine = on(Machine(installed=True, restricted=False))
    assert prepare_sandbox() == "bubblewrap"
    assert machine.ran == []


def test_what_is_missing_is_done_in_order(on, capsys):
    """On GitHub's Ubuntu: install it, then let it map users; each command is said before it runs."""
    machine = on(Machine(installed=False, restricted=True))
    prepare_sandbox()
    assert machine.ran == [("sudo", "-n", *command) for command in (UPDATE, INSTALL, ALLOW)]
    assert capsys.readouterr().out.splitlines() == [f"$ {' '.join(command)}" for command in machine.ran]


def test_root_needs_no_sudo_and_an_installed_one_no_installation(on):
    """Only what is missing is touched."""
    machine = on(Machine(installed=True, restricted=True, root=True))
    prepare_sandbox()
    assert machine.ran == [ALLOW]


def test_a_machine_that_cannot_is_an_error(on, monkeypatch):
    """The reason is bubblewrap's own, or the command that failed."""
    on(Machine(installed=False, restricted=False, heals=False))
    with pytest.raises(GraderError, match="`sudo -n apt-get update -qq` ended with 100"):
        prepare_sandbox()
    machine = on(Machine(installed=True, restricted=True))
    monkeypatch.setattr(sandbox_command, "PROC_SYS", sandbox_command.PROC_SYS / "nowhere")
    with pytest.raises(GraderError, match=r"Permission denied\. \(this kernel has no Landlock\)"):
        prepare_sandbox()
    assert machine.ran == []
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(GraderError, match="only on Linux"):
        prepare_sandbox()


def test_where_bubblewrap_cannot_be_had_landlock_is_enough(on, monkeypatch, capsys):
    """As in a container; but not where bubblewrap alone was asked for."""
    on(Machine(installed=False, restricted=False, heals=False), landlock=True)
    assert prepare_sandbox() == "landlock"
    assert "ended with 100. Install bubblewrap by hand. Landlock is used instead." in capsys.readouterr().out
    monkeypatch.setenv(launch.VARIABLE, "bubblewrap")
    with pytest.raises(GraderError, match="ended with 100"):
        prepare_sandbox()


def test_nothing_is_installed_where_another_fence_is_asked_for(on, monkeypatch):
    """A machine whose tests run behind Landlock is left as it is."""
    machine = on(Machine(installed=False, restricted=True), landlock=True)
    monkeypatch.setenv(launch.VARIABLE, "landlock")
    assert prepare_sandbox() == "landlock"
    assert machine.ran == []
