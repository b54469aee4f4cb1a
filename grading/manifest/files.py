"""Do the files exist that the manifest names? Asked by the course's checks, not by every reader of the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grading.manifest.load import located, read
from grading.manifest.model import Manifest, Status
from grading.manifest.problems import Finding, Problem, did_you_mean
from grading.manifest.problems import Path as Where
from grading.manifest.topics import DOCUMENT, read_topics


def check_files(manifest: Manifest, root: Path) -> tuple[Problem, ...]:
    """One problem for each file or topic that is named and not there; raises ManifestError as `read_topics` does."""
    return tuple(located(read(root), _missing(manifest, root)))


def _missing(manifest: Manifest, root: Path) -> Iterator[Finding]:
    for index, module in enumerate(manifest.modules):
        if module.status is Status.PLANNED:
            continue
        where: Where = ("modules", index, "id")
        if not (root / module.folder).is_dir():
            message = f"module {module.id} is built, and its folder {module.folder.as_posix()} does not exist."
            yield Finding(where, message, "Make it, or say `status: planned`.")
            continue
        named = {"lesson": module.lesson, "code": module.code, "tests": module.tests}
        for what, path in named.items():
            if not (root / path).is_file():
                message = f"module {module.id} is built, and its {what} {path.as_posix()} does not exist."
                yield Finding(where, message, "Write it, or say `status: planned`.")
    topics = read_topics(root)
    for index, milestone in enumerate(manifest.milestones):
        where = ("milestones", index)
        if milestone.status is Status.BUILT:
            for path in (milestone.recipe, milestone.integration_tests):
                if not (root / path).is_file():
                    message = f"milestone {milestone.id} is built, and {path.as_posix()} does not exist."
                    yield Finding((*where, "trigger"), message, "Write it, or say `status: planned`.")
        for place, name in enumerate(milestone.troubleshooting):
            if name not in topics:
                message = f"the topic {name} has no heading `###` in {DOCUMENT.as_posix()}."
                yield Finding((*where, "troubleshooting", place), message, did_you_mean(name, topics))
