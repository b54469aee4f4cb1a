"""The live demonstrations, in which the course's code draws the student's network at work, frame by frame.

Design: docs/architecture/demonstrations.md, in the course's repository.
"""

from grading.demos.digits_demo import play_digits_demo as play_digits
from grading.demos.kernels_demo import play_kernels_demo as play_kernels
from grading.demos.language_demo import play_language_demo as play_language
from grading.demos.training_demo import play_training_demo as play_training
from grading.demos.xor_demo import play_xor_demo as play_xor

DEMOS = {1: play_xor, 2: play_digits, 3: play_training, 4: play_kernels, 5: play_language}
"""The function play(worker, screen, milestone, seed) for each milestone, keyed by the milestone's number."""

PAGE_MILESTONES = (2, 3, 4, 5)
"""The milestones whose demonstration also has a page, which grading.demos.demo_runner.serve_demo serves."""
