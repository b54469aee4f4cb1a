"""What runs in workflows on GitHub; nothing else of the grader imports it.

Design: docs/architecture/github.md, in the course's repository.
"""
