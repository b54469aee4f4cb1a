"""The grader's own memory is limited, and the message says what exceeded the limit."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.memory import get_shape_too_large_for_memory, limit_memory
from grading.testing.runner import run_tests
from grading.testing.students import WorkerPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a process's address space")


@pytest.fixture
def outcome(root, tmp_path):
    """Return `outcome(source)`, which runs a test with this body and returns its outcome."""

    def run(body: str):
        """Write the test, run it without a worker, and return its outcome."""
        file = tmp_path / f"test_{tmp_path.name}.py"  # a name of its own: pytest imports each once
        file.write_text(f"import numpy as np\n\n\ndef test_it():\n    {body}\n")
        students = WorkerPool(lambda: pytest.fail("no worker is asked for"), wall_seconds=60)
        (found,) = run_tests(tmp_path, [file], students, load_manifest(root), seed=0)
        return found

    return run


def test_a_block_takes_no_more_than_it_may():
    """Memory beyond the limit is refused in the block, and given again after it."""
    with limit_memory(256 << 20), limit_memory(1 << 30):  # an inner block has no more than the outer one
        assert np.ones(16 << 20, "uint8").all()
        with pytest.raises(MemoryError):
            np.empty(512 << 20, "uint8")
    assert np.empty(512 << 20, "uint8").size


def test_the_array_that_was_too_large_is_named():
    """NumPy tells its shape; a small one, or another kind of object, was not the reason."""
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, "uint8")
    assert get_shape_too_large_for_memory(caught.value) == (1 << 60,)
    small = type(caught.value)((3, 4), np.dtype("float32"))
    assert get_shape_too_large_for_memory(small) is None
    assert get_shape_too_large_for_memory(MemoryError()) is None


# Gigabytes: what other tests' threads and arrays give back while the block runs makes room beyond its limit.
@pytest.mark.parametrize("body", ["np.zeros((20_000, 1)) + np.zeros((1, 20_000))", "np.ones((1 << 20, 1 << 20))"])
def test_values_too_large_to_judge_fail_their_test(outcome, body):
    """No right answer makes a test need such an array: that is a failure, in words."""
    assert "values so large that checking them takes an array of shape" in outcome(body).failure.got


@pytest.mark.parametrize("body", ["raise MemoryError", "assert [bytearray(1 << 20) for _ in range(4000)]"])
def test_memory_that_is_short_otherwise_is_the_graders_failure(outcome, body):
    """It says nothing about the student's code."""
    with pytest.raises(GraderError, match=r"ran out of memory in test_\w+\.py::test_it"):
        outcome(body)


def test_a_test_of_ordinary_size_passes(outcome):
    """Ten times as much as right answers need is still no matter."""
    assert outcome("assert np.ones((10, 1 << 20)).all()").failure is None
