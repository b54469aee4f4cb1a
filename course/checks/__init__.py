"""What must hold of the course at any time; each check is a function whose docstring is its title.

Design: docs/architecture/release.md, in the course's repository.
"""
