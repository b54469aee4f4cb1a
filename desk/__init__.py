"""The instructor's desk: rosters, collection and grading for a class, the gradebook, and reports.

Students never receive this package. Design: docs/architecture/desk.md, in the course's repository.
"""
