"""Maintainers' tools, not shipped: the student release, the course's checks, and chores around them.

Design: docs/architecture/release.md, in the course's repository.
"""
