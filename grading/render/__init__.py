"""Render a result with pure functions of its record, and show progress during a grading run.

The design is described in docs/architecture/reports.md, in the course's repository.
"""
