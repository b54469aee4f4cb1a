"""The only grader files that run in the same process as student code.

`main.py` answers requests, `wire.py` is the codec, and `frames.py` finds lines in tracebacks. The sandbox consists of
`confine.py`, `landlock.py` and `seccomp.py`. The design is described in docs/architecture/isolation.md, in the course's
repository.
"""
