"""The only files of the grader that run next to student code: `main.py`, its codec `wire.py`, `frames.py`, the fence.

Design: docs/architecture/isolation.md, in the course's repository.
"""
