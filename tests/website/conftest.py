"""A small class with a roster, and its site, built once for all tests that only read it."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from course.cohorts import write_simulated_records
from desk.cohort import CohortMember, CohortStudent, RecordEntry
from grading import progress
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.progress import Event, Kind
from grading.result import Result
from tests.browsers import browser  # noqa: F401 - a fixture
from website.build import ROOT, build_site
from website.class_sources import FolderSource

DAY = datetime(2026, 10, 1, 12, tzinfo=UTC)

ROSTER = """id,name,email,github,repository,section,public,extension_days
zz-ada-canary,Ada Łubieńska,ada-canary@school.example,ada-octo-canary,octo-canary/framework,Section-Canary,yes,77
zz-grace-canary,Grace Hidden-Canary,grace-canary@school.example,grace-octo-canary,,Section-Canary,no,0
zz-nobody-canary,Nobody Yet-Canary,nobody-canary@school.example,,,,no,0
zz-alan-canary,Alan Hidden-Canary,alan-canary@school.example,,,,,0
"""
PUBLIC = "Ada Łubieńska"
SECRETS = ("-canary", "grace", "nobody yet", "@school", "section-c")
"""Words that are in the roster and must be on no page, in upper or lower case."""


@dataclass(frozen=True)
class ClassOnDisk:
    """The folder with the records, the roster, and the site."""

    records: Path
    roster: Path
    site: Path

    @property
    def source(self) -> FolderSource:
        """Return the source that the site is built from."""
        return FolderSource(self.records, self.roster)

    def pseudonym(self, id_: str) -> str:
        """Return the pseudonym of the student with this id."""
        return next(k.student.pseudonym for k in self.source.list_students() if k.student.id == id_)


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """Load the course's own manifest."""
    return load_manifest(ROOT)


@pytest.fixture(scope="session")
def built_class(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> ClassOnDisk:
    """Build the class and its site, for tests that only read them."""
    folder = tmp_path_factory.mktemp("class")
    records, roster = folder / "records", folder / "roster.csv"
    for index, id_ in enumerate(("zz-ada-canary", "zz-grace-canary", "zz-alan-canary")):
        write_simulated_records(records / id_, manifest, random.Random((13, 22, 15)[index]), id_)  # noqa: S311 - nothing secret
    roster.write_text(ROSTER, "utf-8")
    found = ClassOnDisk(records, roster, folder / "site")
    build_site(found.source, found.site, base_url="https://class.example/course")
    return found


@pytest.fixture
def own_class(built_class: ClassOnDisk, tmp_path: Path) -> ClassOnDisk:
    """Copy the class for a test that changes it, without a site."""
    shutil.copytree(built_class.records, tmp_path / "records")
    shutil.copy(built_class.roster, tmp_path / "roster.csv")
    return ClassOnDisk(tmp_path / "records", tmp_path / "roster.csv", tmp_path / "site")


@pytest.fixture(scope="session")
def site_address(built_class: ClassOnDisk) -> Iterator[str]:
    """Serve the site, and return its address."""
    handler = partial(Quiet, directory=str(built_class.site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(10)


class Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def handle(self) -> None:
        """Handle a request, and tolerate a browser that disconnects early."""
        try:
            super().handle()
        except ConnectionError:
            sys.exc_info()


def read_files(folder: Path) -> dict[str, bytes]:
    """Read every file in a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def make_attempt(result: Result, day: float = 0, **changes: object) -> Event:
    """Make an attempt this many days after the first day."""
    at = DAY + timedelta(days=day)
    return progress.make_run_event(result.model_copy(update={"started_at": at, **changes}))


def make_started_event(module: str, day: float = 0) -> Event:
    """Make a module that was begun this many days after the first day."""
    return Event(Kind.MODULE_STARTED, DAY + timedelta(days=day), module=module)


def make_member(*events: Event | RecordEntry, name: str | None = None, public: bool = False) -> CohortMember:
    """Make a student with these records; plain events are verified."""
    entries = tuple(e if isinstance(e, RecordEntry) else RecordEntry(e, verified=True, reason=None) for e in events)
    return CohortMember(CohortStudent("zz-canary", name, None, None, public, "quiet-otter-40391"), entries)
