"""The doctor reports what a class lacks, and how to fix it."""

from __future__ import annotations

from pathlib import Path

import pytest

from desk.class_doctor import DeskContext, run_class_checks
from desk.gradebook import FILE, open_gradebook
from tests.desk.school import ROOT
from tests.desk.test_deadlines import due_manifest
from tests.github.conftest import environ, hub, running  # noqa: F401 - the fixtures
from tests.github.local import Hub
from tito.doctor import Finding


def list_findings(folder: Path, told: dict[str, str]) -> dict[str, Finding]:
    """Return the doctor's findings, keyed by name."""
    return {finding.name: finding for finding in run_class_checks(DeskContext(ROOT, folder, told))}


def test_a_class_that_is_not_begun(class_folder: Path) -> None:
    """The doctor reports that the roster is missing, and that the gradebook merely does not exist yet."""
    found = list_findings(class_folder, {})
    assert found["roster"].ok is False
    assert "docs/for-instructors.md" in (found["roster"].mend or "")
    assert found["gradebook"].ok is None
    assert found["git"].ok is True
    assert "a round trip takes" in found["worker"].found
    assert not {"grader", "organisation", "repositories"} & set(found)


def test_what_is_wrong_in_the_folder(class_folder: Path) -> None:
    """The doctor reports the roster's first problem and an invalid gradebook."""
    (class_folder / "roster.csv").write_text("id,nmae\nada,Ada\n")
    (class_folder / FILE).write_text("x" * 5000)
    found = list_findings(class_folder, {})
    assert "unknown column nmae" in found["roster"].found
    assert found["gradebook"].ok is False


def test_an_extension_of_an_empty_section_is_named(class_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nobody would notice such an extension until the deadline is over."""
    monkeypatch.setattr("desk.class_doctor.load_manifest_strictly", lambda _root: due_manifest())
    (class_folder / "roster.csv").write_text("id,section\nada,Evening\nbob,other\n")
    told = list_findings(class_folder, {})["deadlines"]
    assert told.ok is None
    assert "section evening 2 days more, but nobody is in that section" in told.found
    (class_folder / "roster.csv").write_text("id,section\nada,evening\nbob,other\n")
    assert list_findings(class_folder, {})["deadlines"].ok is True


def test_a_class_on_this_machine_needs_no_token(class_folder: Path) -> None:
    """For a class on GitHub, the doctor explains what the token is for."""
    (class_folder / "roster.csv").write_text("id,repository\nada,./ada.git\n")
    open_gradebook(class_folder / FILE, make=True).__exit__()
    found = list_findings(class_folder, {})
    assert (found["roster"].ok, found["gradebook"].ok, found["token"].ok) == (True, True, True)
    (class_folder / "roster.csv").write_text("id,repository\nada,class/alice\n")
    told = list_findings(class_folder, {})["token"]
    assert (told.ok, told.mend) == (None, "export GITHUB_TOKEN=$(gh auth token)")


def test_the_repositories_are_asked_about(hub: Hub, environ: dict[str, str], class_folder: Path) -> None:  # noqa: F811
    """The doctor reports an unreadable repository, and a manifest without a grader."""
    (class_folder / "roster.csv").write_text("id,repository\nada,class/alice\nbob,class/gone\n")
    hub.repository("class/alice")
    found = list_findings(class_folder, environ)
    repositories = found["repositories"]
    assert (repositories.ok, "class/gone" in repositories.found) == (False, True), repositories
    assert found["grader"].ok is None
    assert found["organisation"].ok is True
    (class_folder / "roster.csv").write_text("id,repository\nada,class/alice\n")
    assert list_findings(class_folder, environ)["repositories"].ok is True
    hub.repository("class/alice").actions = False
    assert list_findings(class_folder, environ)["repositories"].found == "Actions are disabled in class/alice"
