"""The names that students use for modules and milestones."""

from __future__ import annotations

import pytest

from grading.errors import UsageError
from tests.test_progress import COURSE
from tito import names


@pytest.mark.parametrize("said", ["02_tensor", "02", "2", "tensor", "Tensor", " 02_tensor ", "modules/02_tensor/"])
def test_a_module_has_many_names(said: str) -> None:
    """A module can be called by id, number, name or folder."""
    assert names.match_module(COURSE.modules, said).id == "02_tensor"


@pytest.mark.parametrize("said", ["1", "milestone-1", "milestone 1", "Milestone 1", "Inference", "inference"])
def test_a_milestone_has_many_names(said: str) -> None:
    """A milestone can be called by number, session name or name."""
    assert names.match_milestone(COURSE.milestones, said).id == 1


@pytest.mark.parametrize(("said", "meant"), [("tensro", "02_tensor"), ("02_tenser", "02_tensor"), ("dens", "03_dense")])
def test_a_wrong_module_is_answered_with_the_near_one(said: str, meant: str) -> None:
    """The answer to a misspelt module contains the correct name."""
    with pytest.raises(UsageError, match=f"Did you mean `{meant}`"):
        names.match_module(COURSE.modules, said)


@pytest.mark.parametrize("said", ["99", "", "///", "zzzzzz", "0"])
def test_an_unknown_module_is_answered_with_the_list(said: str) -> None:
    """If no name is close, the answer states where all modules are listed."""
    with pytest.raises(UsageError, match="tito module list") as error:
        names.match_module(COURSE.modules, said)
    assert "Did you mean" not in str(error.value)


def test_a_wrong_milestone_is_answered_helpfully() -> None:
    """A number out of range is answered with the range, and a misspelt name with the closest one."""
    with pytest.raises(UsageError, match="1 to 3"):
        names.match_milestone(COURSE.milestones, "7")
    with pytest.raises(UsageError, match="Did you mean `1`"):
        names.match_milestone(COURSE.milestones, "Inferense")


def test_what_is_planned_is_said_to_be() -> None:
    """A planned module or milestone is refused with a clear message."""
    with pytest.raises(UsageError, match="Module 04_vision is planned"):
        names.require_built(COURSE.modules[3])
    with pytest.raises(UsageError, match="Milestone 3, Vision, is planned"):
        names.require_built(COURSE.milestones[2])
    assert names.require_built(COURSE.modules[0]) is COURSE.modules[0]
