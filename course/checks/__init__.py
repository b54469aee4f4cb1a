"""Checks of what must always be true of the course. Each one is a function whose docstring is its title.

Design: docs/architecture/release.md, in the course's repository.
"""
