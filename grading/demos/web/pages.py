"""Which milestones' demonstrations have a page."""

from __future__ import annotations

from collections.abc import Mapping

from grading.demos.web.digits import DigitPage
from grading.demos.web.kernels import KernelPage
from grading.demos.web.language import LanguagePage
from grading.demos.web.page import NetworkPage, serve
from grading.demos.web.training import TrainingPage

__all__ = ["PAGES", "serve"]

PAGES: Mapping[int, type[NetworkPage]] = {2: DigitPage, 3: TrainingPage, 4: KernelPage, 5: LanguagePage}
"""The page of each milestone; grading.demos.PAGES has the same keys without importing a server."""
