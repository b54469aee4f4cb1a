"""What a shell offers after `tito module view` and the like."""

from __future__ import annotations

from grading.errors import UsageError
from tito.console import find_repository
from tito.outline import Outline, outline


def modules() -> list[tuple[str, str]]:
    """Every module's id with its title."""
    course = _read_outline()
    return [(module.id, module.title) for module in course.modules] if course else []


def milestones() -> list[tuple[str, str]]:
    """Every milestone's number with its name."""
    course = _read_outline()
    return [(str(milestone.id), milestone.name) for milestone in course.milestones] if course else []


def _read_outline() -> Outline | None:
    """None outside a repository, or where its manifest cannot be read: a shell is told nothing then."""
    root = find_repository()
    try:
        return outline(root) if root else None
    except UsageError:
        return None
