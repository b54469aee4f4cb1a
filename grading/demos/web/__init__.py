"""Demonstrations in a browser. Each has a local page, served only to this machine and only while the command runs.

Design: docs/architecture/demonstrations.md, in the course's repository.
"""
