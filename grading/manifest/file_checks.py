"""Check that the files named in the manifest exist.

Only the course's checks do this, not every reader of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grading.manifest.loader import add_lines_to_findings, read_manifest_source
from grading.manifest.model import BuildStatus, Manifest
from grading.manifest.problems import Finding, Problem, suggest_name
from grading.manifest.problems import KeyPath as Where
from grading.manifest.topics import DOCUMENT, read_topics


def find_missing_file_problems(manifest: Manifest, root: Path) -> tuple[Problem, ...]:
    """Return a problem for each missing file of a built module or milestone, and for each unknown topic.

    Raise ManifestError if the manifest or the document of the topics cannot be read.
    """
    return tuple(add_lines_to_findings(read_manifest_source(root), _find_missing_files(manifest, root)))


def _find_missing_files(manifest: Manifest, root: Path) -> Iterator[Finding]:
    """Yield a finding for each missing file of a built module or milestone, and for each unknown topic."""
    for index, module in enumerate(manifest.modules):
        if module.status is BuildStatus.PLANNED:
            continue
        where: Where = ("modules", index, "id")
        if not (root / module.folder).is_dir():
            message = f"module {module.id} is built, but its folder {module.folder.as_posix()} does not exist."
            yield Finding(where, message, "Create it, or set `status: planned`.")
            continue
        named = {"lesson": module.lesson, "code": module.code, "tests": module.tests}
        for what, path in named.items():
            if not (root / path).is_file():
                message = f"module {module.id} is built, but its {what} {path.as_posix()} does not exist."
                yield Finding(where, message, "Write it, or set `status: planned`.")
    topics = read_topics(root)
    for index, milestone in enumerate(manifest.milestones):
        where = ("milestones", index)
        if milestone.status is BuildStatus.BUILT:
            for path in (milestone.recipe, milestone.integration_tests):
                if not (root / path).is_file():
                    message = f"milestone {milestone.id} is built, but {path.as_posix()} does not exist."
                    yield Finding((*where, "trigger"), message, "Write it, or set `status: planned`.")
        for place, name in enumerate(milestone.troubleshooting):
            if name not in topics:
                message = f"the topic {name} has no heading `###` in {DOCUMENT.as_posix()}."
                yield Finding((*where, "troubleshooting", place), message, suggest_name(name, topics))
