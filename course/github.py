"""`python -m course.github`: the workflows' commands in the course itself, which no release's lock describes."""

from __future__ import annotations

from course.release import compute_skeleton_digests
from grading.github.__main__ import main

if __name__ == "__main__":
    main(compute_skeleton_digests)
