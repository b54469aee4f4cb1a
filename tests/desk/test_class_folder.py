"""A class's folder stays out of every repository, whichever command creates it."""

from __future__ import annotations

from pathlib import Path

from desk.class_folder import make_class_folder
from desk.classroom50_exchange import convert_classroom50_roster_file
from desk.gradebook import open_gradebook
from desk.rehearsal import write_rehearsal_class
from tests.desk.school import ROOT, School


def test_git_adds_nothing_of_a_class(tmp_path: Path) -> None:
    """Roster, gradebook and key stay out, whatever the folder is called, even with `git add --all`."""
    git = School(tmp_path).run_git
    git("init", "--quiet", str(tmp_path))
    (tmp_path / "theirs.csv").write_text("username,first_name,last_name,email,section,role\nada,Ada,L,,,student\n")
    convert_classroom50_roster_file(
        tmp_path / "theirs.csv", tmp_path / "fall" / "roster.csv", "cs", "fall", "tinytorch"
    )
    open_gradebook(tmp_path / "spring" / "gradebook.sqlite", make=True).__exit__()
    write_rehearsal_class(ROOT, tmp_path / "summer")
    (tmp_path / "winter").mkdir()
    (tmp_path / "winter" / "pseudonyms.key").write_text("secret")
    make_class_folder(tmp_path / "winter")
    git("-C", str(tmp_path), "add", "--all")
    assert git("-C", str(tmp_path), "ls-files") == "theirs.csv"


def test_what_somebody_ignores_there_stays(tmp_path: Path) -> None:
    """An existing `.gitignore` is not replaced, and making the folder a repository is the instructor's decision."""
    (tmp_path / ".gitignore").write_text("*.sqlite\n")
    make_class_folder(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.sqlite\n"
    (tmp_path / "own" / ".git").mkdir(parents=True)
    make_class_folder(tmp_path / "own")
    assert not (tmp_path / "own" / ".gitignore").exists()
