"""Measure the figures that this project promises.

Design: docs/architecture/tests.md, in the course's repository.
"""
