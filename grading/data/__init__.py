"""Find, download, verify and read the data sets that the grader trains and tests with.

All of this runs in the grader's process, never next to student code. Start with `load.py`.

The design is described in docs/architecture/data.md, in the course's repository.
"""
