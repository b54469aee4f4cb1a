"""The code that runs in workflows on GitHub. Nothing else in the grader imports it.

The design is described in docs/architecture/github.md, in the course's repository.
"""
