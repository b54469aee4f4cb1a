"""Describe what a course grades with (criteria, tests, grader), so that changes to it can be described in words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from desk.decisions import CourseVersion
from grading.grade import build_course_record, list_verdict_files
from grading.manifest.model import Manifest
from grading.render import figure_text

SHOWN = 5
"""The maximum number of changed files that are listed."""


def build_course_version(root: Path, manifest: Manifest) -> CourseVersion:
    """Build the record of the current version of the course at ``root``: its digest, name, number and contents."""
    record = build_course_record(root, manifest)
    return CourseVersion(record.digest, record.name, record.version, _collect_grading_basis(root, manifest))


def _collect_grading_basis(root: Path, manifest: Manifest) -> dict[str, Any]:
    """Return what a course grades with as JSON values: the criteria as shown, and digests of everything else."""
    milestones = {}
    for milestone in manifest.milestones:
        rest = milestone.model_dump_json(exclude={"criteria"})
        milestones[str(milestone.id)] = {
            "criteria": {
                c.name: {"title": c.title, "needed": figure_text.format_threshold(c)} for c in milestone.criteria
            },
            "rest": hashlib.sha256(rest.encode()).hexdigest(),
        }
    files = {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in list_verdict_files(root)
    }
    return {"milestones": milestones, "files": files}


def compare_courses(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Describe in sentences what differs between two versions of the course, except new and removed milestones."""
    for number, milestone in now["milestones"].items():
        yield from _compare_milestones(f"Milestone {number}", before["milestones"].get(number), milestone)
    files = {**before["files"], **now["files"]}
    changed = [name for name in files if before["files"].get(name) != now["files"].get(name)]
    tests, grader = ([n for n in sorted(changed) if n.startswith("modules/") is ours] for ours in (True, False))
    if tests:
        more = f" and {len(tests) - SHOWN} more" if tests[SHOWN:] else ""
        yield f"Tests have changed: {', '.join(tests[:SHOWN])}{more}."
    if grader:
        yield f"The grader has changed in {len(grader)} file{'s' * (len(grader) > 1)}."


def _split_threshold(text: str) -> tuple[str, float | None, str]:
    """Split a threshold into sign, number and unit, so that a mere change of notation does not count as a change.

    >>> _split_threshold("≤ 150000") == _split_threshold("≤ 150,000")
    True
    """
    found = re.fullmatch(r"(\D*?)([\d.,\s]*\d)(.*)", text)
    return (text, None, "") if found is None else (found[1].strip(), float(re.sub(r"[,\s]", "", found[2])), found[3])


def _compare_milestones(name: str, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[str]:
    """Describe in sentences what has changed in one milestone; yield nothing for a new milestone."""
    if before is None:
        return
    for key in {**before["criteria"], **now["criteria"]}:
        old, new = before["criteria"].get(key), now["criteria"].get(key)
        if old is None:
            yield f"{name} has a new criterion: {new['title']} ({new['needed']})."
        elif new is None:
            yield f"{name} no longer has the criterion: {old['title']} ({old['needed']})."
        elif _split_threshold(old["needed"]) != _split_threshold(new["needed"]):
            yield f"{name}, {new['title']}: {old['needed']} before, {new['needed']} now."
        elif old["title"] != new["title"]:
            yield f"{name}: “{old['title']}” is now called “{new['title']}”."
    if before["rest"] != now["rest"]:
        yield f"{name}: its experiment, questions or limits have changed."
