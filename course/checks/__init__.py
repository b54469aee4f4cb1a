"""What must always be true of the course; each check is a function whose docstring is its title.

Design: docs/architecture/release.md, in the course's repository.
"""
