"""Shell completion of module and milestone names, for example after `tito module view`."""

from __future__ import annotations

from grading.errors import UsageError
from tito.console import find_repository
from tito.outline import Outline, read_outline


def list_module_completions() -> list[tuple[str, str]]:
    """List the id and title of every module, to complete an argument; return [] if no course can be read."""
    course = _read_outline_if_possible()
    return [(module.id, module.title) for module in course.modules] if course else []


def list_milestone_completions() -> list[tuple[str, str]]:
    """List the number and name of every milestone, to complete an argument; return [] if no course can be read."""
    course = _read_outline_if_possible()
    return [(str(milestone.id), milestone.name) for milestone in course.milestones] if course else []


def _read_outline_if_possible() -> Outline | None:
    """Read the course's outline; return None outside a repository or if its manifest cannot be read."""
    root = find_repository()
    try:
        return read_outline(root) if root else None
    except UsageError:
        return None
