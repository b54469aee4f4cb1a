"""Maintainers' tools, which are not shipped: the student release, the course's checks, and commands around them.

Design: docs/architecture/release.md, in the course's repository.
"""
