"""Demonstrations in a browser: a local page each, served only to this machine and only while the command runs.

Design: docs/architecture/demonstrations.md, in the course's repository.
"""
