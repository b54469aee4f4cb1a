"""A pytest plugin that limits matrix products to one thread, as in the grader's workers. It is loaded before NumPy.

With several threads, small products have to wait for each other, and module 06's tests take minutes on a busy machine.
If the environment already sets a number of threads, it is not changed.
"""

import os

from grading.sandbox.command import THREAD_VARIABLES

for _name in THREAD_VARIABLES:
    os.environ.setdefault(_name, "1")
