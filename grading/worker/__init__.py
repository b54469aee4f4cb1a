"""The only files of the grader that run next to student code: `main.py`, its codec `wire.py`, `frames.py`, the fence.

The design is described in docs/architecture/isolation.md, in the course's repository.
"""
