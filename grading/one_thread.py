"""A pytest plugin to be loaded before NumPy: matrix products on one thread, as in the grader's workers.

On several, small products wait for each other: module 06's tests then take minutes on a busy machine. Another number
that is set in the environment stays.
"""

import os

from grading.sandbox.command import THREAD_VARIABLES

for _name in THREAD_VARIABLES:
    os.environ.setdefault(_name, "1")
