"""The figures this project promises, measured.

Design: docs/architecture/tests.md, in the course's repository.
"""
