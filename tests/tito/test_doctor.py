"""`tito doctor` finds what is wrong and says how to fix it."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from grading import cache, lock
from grading.progress import FOLDER
from grading.sandbox import bubblewrap, launch
from grading.sandbox.launch import choose_fence
from tito import doctor


@pytest.mark.usefixtures("repo")
def test_every_finding_has_a_name_and_trouble_has_a_repair(tito) -> None:
    """Each check is listed, every problem comes with a repair, and the exit code agrees."""
    answer = tito("doctor", "--json")
    findings = json.loads(answer.out)
    names = ["python", "packages", "manifest", "editable install", "sandbox", "worker", "course files", "cache folder"]
    assert [f["name"] for f in findings] == [*names, "progress records"]
    assert all(f["mend"] for f in findings if f["ok"] is False)
    assert answer.code == (3 if any(f["ok"] is False for f in findings) else 0)
    text = " ".join(tito("doctor").out.split())
    assert all(f["name"] in text for f in findings)


def test_an_install_of_another_repository_is_found(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tinytorch` must be all of this repository's module folders: neither missing nor in a different place."""
    here = sorted((repo / "modules").glob("*/tinytorch"))

    def installed(*places: Path) -> None:
        """Make `tinytorch` seem to be installed in these folders."""
        spec = SimpleNamespace(submodule_search_locations=[str(p) for p in places], origin=None)
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)

    installed(*here)
    assert doctor.check_editable_install(repo).ok
    installed(*here[1:])
    assert "not on the path" in doctor.check_editable_install(repo).found
    installed(*here, Path("/elsewhere/tinytorch"))
    assert "elsewhere" in doctor.check_editable_install(repo).found
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    finding = doctor.check_editable_install(repo)
    assert finding.ok is False
    assert "pip install -e ." in finding.mend


def test_missing_packages_are_named(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that pyproject.toml requires but are not installed are listed."""
    monkeypatch.setattr(metadata, "requires", lambda _name: ["numpy>=2", "no-such-package-at-all>=1"])
    assert doctor.check_packages(repo).found == "not installed: no-such-package-at-all"


def test_changed_course_files_are_named(repo: Path) -> None:
    """An edited test is found, and the command that restores it is shown."""
    (repo / lock.FILE).write_bytes(lock.encode_lock_file(repo, [Path("milestones.yaml")], []))
    assert doctor.check_course_files(repo).ok
    (repo / "milestones.yaml").write_text("edited")
    assert doctor.check_course_files(repo).mend == "git checkout -- milestones.yaml"


def test_no_sandbox_at_a_desk_is_no_fault(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bubblewrap and Landlock the reasons are shown, and nothing is called broken."""
    monkeypatch.setattr(bubblewrap, "find_bubblewrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(launch, "find_landlock_problem", lambda: None)
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    assert doctor.check_sandbox(repo).found.startswith("Landlock works")
    monkeypatch.setattr(launch, "find_landlock_problem", lambda: "no Landlock")
    finding = doctor.check_sandbox(repo)
    assert finding.ok is None
    assert "not installed" in finding.found


def test_a_worker_is_started(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sandbox, versions and round-trip time are shown; an interpreter that only a shell can start is detected."""
    finding = doctor.check_worker_start(repo)
    assert finding.ok, finding
    here = f"Python {'.'.join(map(str, sys.version_info[:3]))}, NumPy {metadata.version('numpy')}"
    assert f"starts in {choose_fence(official=False)} with {here}; a round trip takes" in finding.found
    broken = tmp_path / "python"
    broken.write_text('#!/bin/sh\n[ -n "$SHELL_ONLY" ] || { echo libpython is missing >&2; exit 127; }\n')
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(broken))
    finding = doctor.check_worker_start(repo)
    assert finding.ok is False
    assert "a worker cannot be started on this machine" in finding.found
    assert "tito doctor" not in finding.found
    assert f"env -i {broken} -I" in finding.mend


def test_a_cache_that_cannot_be_written_is_found(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is shown with its repair."""
    monkeypatch.setattr(cache, "is_measurement_cache_writable", lambda: False)
    assert "writable" in doctor.check_cache_folder(repo).mend


def test_damaged_records_and_manifests_are_found(repo: Path) -> None:
    """Both are reported, and the other checks still run."""
    (repo / FOLDER).mkdir()
    (repo / FOLDER / "bad.json").write_text("{")
    (repo / "milestones.yaml").write_text("modules: [")
    findings = {f.name: f for f in doctor.run_repository_checks(repo)}
    assert findings["progress records"].ok is False
    assert "milestones.yaml:" in findings["manifest"].found
    assert findings["python"].ok


def test_a_check_that_breaks_is_a_finding(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that raises is reported, and the following checks still run."""

    def fail() -> None:
        raise OSError("broken")

    monkeypatch.setattr(cache, "is_measurement_cache_writable", fail)
    findings = list(doctor.run_repository_checks(repo))
    assert "broken" in next(f for f in findings if f.name == "cache folder").found
    assert findings[-1].name == "progress records"
