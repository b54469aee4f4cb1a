"""The instructor's desk: rosters, collecting and grading a class, the gradebook, reports.

Students never receive this package. Design: docs/architecture/desk.md, in the course's repository.
"""
