"""The live demonstrations: course code that draws the student's network at work, frame by frame.

Design: docs/architecture/demonstrations.md, in the course's repository.
"""

from grading.demos.digits import play as play_digits
from grading.demos.kernels import play as play_kernels
from grading.demos.language import play as play_language
from grading.demos.training import play as play_training
from grading.demos.xor import play as play_xor

DEMOS = {1: play_xor, 2: play_digits, 3: play_training, 4: play_kernels, 5: play_language}
"""Milestone → play(worker, screen, milestone, seed)."""

PAGES = (2, 3, 4, 5)
"""Milestones whose demonstration also has a page: grading.demos.run.serve_demo."""
