"""A school on this machine: a bare repository for each student, that keeps when it was pushed to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from course.skeleton import skeleton, solved
from desk.git import build_git_environment
from desk.roster import RosterRow
from grading.manifest.load import load
from grading.progress import Event
from tests.desk.conftest import publish
from tests.submissions.build import student_files

ROOT = Path(__file__).resolve().parents[2]
TERM = datetime(2026, 9, 1, 9, tzinfo=UTC)
RECIPE = "modules/04_layers/recipe.py"


def released() -> dict[str, str]:
    """What a student is given: every file to write, with its gaps."""
    manifest = load(ROOT)
    return {p.as_posix(): skeleton((ROOT / p).read_text("utf-8"), manifest, p) for p in student_files(manifest)}


def worked_out(upto: str = "04_layers") -> dict[str, str]:
    """Every solution up to a module, and its milestone's recipe."""
    manifest = load(ROOT)
    paths = [p for p in student_files(manifest) if p.parts[1] <= upto]
    return {p.as_posix(): solved((ROOT / p).read_text("utf-8"), manifest, p) for p in paths}


BROKEN = {RECIPE: "def build(rng:\n"}
"""A recipe that is not Python: it counts as started, and is quickly graded."""


class School:
    """Students' repositories below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = build_git_environment(os.environ) | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
        }
        self.rows: list[RosterRow] = []

    def git(self, *words: str, at: datetime = TERM) -> str:
        """Run git, with this time on the server's clock and in the commits."""
        stamp = f"@{int(at.timestamp())} +0000"
        env = self.environment | {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        done = subprocess.run(["git", *words], env=env, check=True, capture_output=True, text=True)  # noqa: S607
        return done.stdout.strip()

    def bare(self, student: str) -> Path:
        """Where a student's repository is."""
        return self.folder / "server" / f"{student}.git"

    def work(self, student: str) -> Path:
        """Where the student works."""
        return self.folder / "desks" / student

    def enroll(self, student: str, files: Mapping[str, str] | None = None) -> RosterRow:
        """A student with a repository that holds these files; without any, one that holds nothing."""
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare(student)))
        for setting in ("core.logAllRefUpdates true", "uploadpack.allowFilter true"):
            self.git("--git-dir", str(self.bare(student)), "config", *setting.split())
        self.git("init", "--quiet", "--initial-branch=main", str(self.work(student)))
        row = RosterRow(student, repository=str(self.bare(student)), name=f"{student.title()} Example")
        self.rows.append(row)
        if files is not None:
            self.push(student, files)
        return row

    def push(
        self, student: str, files: Mapping[str, str], at: datetime = TERM, committed: datetime | None = None
    ) -> str:
        """Commit these files and push them at this time; the commit."""
        for name, text in files.items():
            path = self.work(student) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        where = ("-C", str(self.work(student)))
        self.git(*where, "add", "--all")
        self.git(*where, "commit", "--quiet", "--allow-empty", "--message", "Work", at=committed or at)
        self.git(*where, "push", "--quiet", str(self.bare(student)), "HEAD:main", at=at)
        return self.git(*where, "rev-parse", "HEAD")

    def publish(self, student: str, *events: Event) -> None:
        """Put records on the student's branch `progress`, as the workflow does."""
        desk = self.folder / "publishing" / student
        if not desk.is_dir():
            self.git("init", "--quiet", "--initial-branch=progress", str(desk))
        publish(desk, *events)
        self.git("-C", str(desk), "add", "--all")
        self.git("-C", str(desk), "commit", "--quiet", "--message", "Records")
        self.git("-C", str(desk), "push", "--quiet", "--force", str(self.bare(student)), "HEAD:progress")
