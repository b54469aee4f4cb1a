"""Deadlines in the manifest: what may be said, and how what may not is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.grade import build_course_record
from grading.manifest.loader import load_manifest, load_manifest_strictly
from grading.manifest.problems import ManifestError, Problem

RIGHT = """
deadlines:
  timezone: Europe/Berlin
  late:
    grace_minutes: 30
    off_per_day: 0.1
    days: 5
  due:
    - milestone: 1
      at: 2026-10-16 23:59
    - milestone: 2
      at: 2026-11-13 23:59
  extensions:
    - section: evening
      days: 3
      milestones: [2]
"""


def write_manifest(root: Path, folder: Path, text: str = RIGHT) -> Path:
    """Write the course's manifest with these deadlines into a folder."""
    (folder / "milestones.yaml").write_text((root / "milestones.yaml").read_text("utf-8") + text, "utf-8")
    return folder


def test_deadlines_are_read(root: Path, tmp_path: Path) -> None:
    """Every part is there, typed."""
    found = load_manifest(write_manifest(root, tmp_path)).deadlines
    assert found is not None
    assert (found.timezone, found.late.days, found.late.off_per_day) == ("Europe/Berlin", 5, 0.1)
    assert [(one.milestone, one.at) for one in found.due] == [(1, "2026-10-16 23:59"), (2, "2026-11-13 23:59")]
    assert found.extensions[0].milestones == (2,)


@pytest.mark.parametrize(
    ("old", "new", "message", "repair"),
    [
        ("at: 2026-10-16 23:59", "at: 2026-02-30 23:59", "not a valid time", "2026-11-30 23:59"),
        ("at: 2026-10-16 23:59", "at: tomorrow", "`at` is", "matches"),
        ("off_per_day: 0.1", "off_per_day: 1.5", "`off_per_day` is 1.5", "Change the value"),
        ("days: 5", "days: 0", "no late day", "Add `days: …`"),
        ("- milestone: 2", "- milestone: 1", "the deadline of milestone 1 appears twice", "delete one"),
        ("- milestone: 2", "- milestone: 9", "there is no milestone 9", "Known names"),
        ("milestones: [2]", "milestones: [7]", "there is no milestone 7", "Known names"),
        ("grace_minutes", "grace_minuets", "unknown key `grace_minuets`", "`grace_minutes`?"),
        ("    - section: evening\n      days: 3", "    - days: 3", "`section` is missing", "section"),
    ],
)
def test_a_wrong_deadline_is_answered_with_its_line(
    root: Path, tmp_path: Path, old: str, new: str, message: str, repair: str
) -> None:
    """At the desk, the problem names the line, what is wrong and how to fix it; a student's commands go on."""
    assert RIGHT.count(old) == 1
    folder = write_manifest(root, tmp_path, RIGHT.replace(old, new))
    assert load_manifest(folder) == load_manifest(root)
    with pytest.raises(ManifestError) as caught:
        load_manifest_strictly(folder)
    found: tuple[Problem, ...] = caught.value.problems
    assert [p for p in found if message in p.message and repair in p.repair], found
    begins = (folder / "milestones.yaml").read_text("utf-8").splitlines().index("deadlines:") + 1
    assert all(p.line > begins for p in found)


@pytest.mark.parametrize("zone", ["Europe/Bärlin", "../../etc/passwd", "Mars/Olympus"])
def test_an_unknown_zone_stops_the_desk_and_no_student(root: Path, tmp_path: Path, zone: str) -> None:
    """A student's machine may know fewer zones, and needs none: only instructors' commands look it up."""
    folder = write_manifest(root, tmp_path, RIGHT.replace("Europe/Berlin", zone))
    found = load_manifest(folder).deadlines
    assert found is not None
    assert found.timezone == zone
    with pytest.raises(ManifestError, match=r"milestones\.yaml:\d+: .*is not a known time zone.*Europe/Berlin"):
        load_manifest_strictly(folder)
    assert load_manifest_strictly(write_manifest(root, tmp_path)).deadlines is not None


def test_a_deadline_that_is_moved_grades_nothing_anew(root: Path, tmp_path: Path) -> None:
    """The course's digest, and so the key of every result, is the same with and without deadlines."""
    assert build_course_record(root, load_manifest(write_manifest(root, tmp_path))) == build_course_record(
        root, load_manifest(root)
    )
