"""Capability questions: asked with each student's own parameters, judged on the grader's side, sealed in a release.

Design: docs/architecture/questions.md, in the course's repository.
"""
