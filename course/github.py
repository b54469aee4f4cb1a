"""`python -m course.github`: the workflows' commands in the course itself, which no release's lock describes."""

from __future__ import annotations

from course.release import given_files
from grading.github.__main__ import main

if __name__ == "__main__":
    main(given_files)
