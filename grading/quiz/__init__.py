"""Capability questions, with parameters for each student, judged on the grader's side and sealed in a release.

Design: docs/architecture/questions.md, in the course's repository.
"""
