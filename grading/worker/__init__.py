"""The only files of the grader that share a process with student code: `main.py`, `wire.py`, `frames.py` and the fence.

`wire.py` is the codec; the fence is `confine.py`, `landlock.py` and `seccomp.py`. The design is described in
docs/architecture/isolation.md, in the course's repository.
"""
