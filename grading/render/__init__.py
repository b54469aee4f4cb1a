"""Show a result with pure functions of the record, and show the progress of a grading run while it lasts.

The design is described in docs/architecture/reports.md, in the course's repository.
"""
