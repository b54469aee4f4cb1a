"""Find, download, verify and read the data sets with which the grader trains and tests.

All of this runs in the grader's process, never in the same process as student code. Start with `load.py`.

The design is described in docs/architecture/data.md, in the course's repository.
"""
