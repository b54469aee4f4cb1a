"""The instructor's desk: rosters, collecting and grading a class, the gradebook, reports. Students never get it.

Design: docs/architecture/desk.md, in the course's repository.
"""
