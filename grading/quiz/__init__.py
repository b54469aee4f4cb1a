"""Capability questions with parameters for each student. They are judged in the grader and sealed in a release.

The design is described in docs/architecture/questions.md, in the course's repository.
"""
