"""Demonstrations in a browser: one local page each, served to this machine only while the command runs.

Design: docs/architecture/demonstrations.md, in the course's repository.
"""
