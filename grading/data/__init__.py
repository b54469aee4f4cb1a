"""The data sets the grader trains and tests with: found, downloaded, verified, read.

All of it runs in the grader's process and none of it beside student code. Start with `load.py`.

Design: docs/architecture/data.md, in the course's repository.
"""
