"""A school on this machine, with a bare repository for each student that records push times."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType

from course.skeleton import make_skeleton, make_solution
from desk.git import build_git_environment
from desk.roster import RosterRow
from grading.manifest.loader import load_manifest
from grading.progress import Event
from tests.desk.conftest import publish_records
from tests.submissions.build import list_student_files

ROOT = Path(__file__).resolve().parents[2]
TERM = datetime(2026, 9, 1, 9, tzinfo=UTC)
RECIPE = "modules/04_layers/recipe.py"


@cache
def make_released_files() -> Mapping[str, str]:
    """Make the files that a student receives: every file to write, with its gaps."""
    manifest = load_manifest(ROOT)
    texts = {p.as_posix(): (ROOT / p).read_text("utf-8") for p in list_student_files(manifest)}
    return MappingProxyType({name: make_skeleton(text, manifest, Path(name)) for name, text in texts.items()})


@cache
def make_solved_files(upto: str = "04_layers") -> Mapping[str, str]:
    """Make every solution up to a module, and the recipe of its milestone."""
    manifest = load_manifest(ROOT)
    paths = [p for p in list_student_files(manifest) if p.parts[1] <= upto]
    texts = {p.as_posix(): (ROOT / p).read_text("utf-8") for p in paths}
    return MappingProxyType({name: make_solution(text, manifest, Path(name)) for name, text in texts.items()})


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

    def run_git(self, *words: str, at: datetime = TERM) -> str:
        """Run git with this time on the server's clock and in the commits."""
        stamp = f"@{int(at.timestamp())} +0000"
        env = self.environment | {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        done = subprocess.run(["git", *words], env=env, check=True, capture_output=True, text=True)  # noqa: S607
        return done.stdout.strip()

    def get_repository_path(self, student: str) -> Path:
        """Return the path of a student's repository."""
        return self.folder / "server" / f"{student}.git"

    def get_work_folder(self, student: str) -> Path:
        """Return the folder in which the student works."""
        return self.folder / "desks" / student

    def enroll_student(self, student: str, files: Mapping[str, str] | None = None) -> RosterRow:
        """Create a student with a repository that holds these files; without any, the repository is empty."""
        self.run_git("init", "--quiet", "--bare", "--initial-branch=main", str(self.get_repository_path(student)))
        for setting in ("core.logAllRefUpdates true", "uploadpack.allowFilter true"):
            self.run_git("--git-dir", str(self.get_repository_path(student)), "config", *setting.split())
        self.run_git("init", "--quiet", "--initial-branch=main", str(self.get_work_folder(student)))
        row = RosterRow(student, repository=str(self.get_repository_path(student)), name=f"{student.title()} Example")
        self.rows.append(row)
        if files is not None:
            self.push_files(student, files)
        return row

    def push_files(
        self, student: str, files: Mapping[str, str], at: datetime = TERM, committed: datetime | None = None
    ) -> str:
        """Commit these files, push them at this time, and return the commit."""
        for name, text in files.items():
            path = self.get_work_folder(student) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        where = ("-C", str(self.get_work_folder(student)))
        self.run_git(*where, "add", "--all")
        self.run_git(*where, "commit", "--quiet", "--allow-empty", "--message", "Work", at=committed or at)
        self.run_git(*where, "push", "--quiet", str(self.get_repository_path(student)), "HEAD:main", at=at)
        return self.run_git(*where, "rev-parse", "HEAD")

    def publish_records(self, student: str, *events: Event) -> None:
        """Put records on the student's `progress` branch, as the workflow does."""
        desk = self.folder / "publishing" / student
        if not desk.is_dir():
            self.run_git("init", "--quiet", "--initial-branch=progress", str(desk))
        publish_records(desk, *events)
        self.run_git("-C", str(desk), "add", "--all")
        self.run_git("-C", str(desk), "commit", "--quiet", "--message", "Records")
        self.run_git(
            "-C", str(desk), "push", "--quiet", "--force", str(self.get_repository_path(student)), "HEAD:progress"
        )
