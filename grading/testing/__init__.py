"""The names that module tests import. Their fixtures, `student` and `rng`, come from the plugin.

The design is described in docs/architecture/tests.md, in the course's repository.
"""

import pytest

from grading.testing import expect
from grading.testing.expect import values
from grading.testing.gradients import check_gradient
from grading.testing.parameters import draw_parameters
from grading.testing.reports import Reports, ignore_reports
from grading.testing.tracing import traced

task = pytest.mark.task

__all__ = ["Reports", "check_gradient", "draw_parameters", "expect", "ignore_reports", "task", "traced", "values"]
