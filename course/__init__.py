"""Maintainers' tools, which are not shipped: the student release, the course's checks, and related commands.

Design: docs/architecture/release.md, in the course's repository.
"""
