"""Capability questions with parameters for each student. The grader judges the answers, and a release seals the keys.

The design is described in docs/architecture/questions.md, in the course's repository.
"""
