"""The classes of the demonstrations' pages."""

from __future__ import annotations

from collections.abc import Mapping

from grading.demos.web.digits_page import DigitPage
from grading.demos.web.kernels_page import KernelPage
from grading.demos.web.language_page import LanguagePage
from grading.demos.web.network_page import NetworkPage
from grading.demos.web.training_page import TrainingPage

PAGE_CLASSES: Mapping[int, type[NetworkPage]] = {2: DigitPage, 3: TrainingPage, 4: KernelPage, 5: LanguagePage}
"""The page of each milestone. grading.demos.PAGE_MILESTONES has the same keys, but does not import a server."""
