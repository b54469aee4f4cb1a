"""The instructor's desk: roster, collecting and grading a class, gradebook, reports. Not shipped to students.

Design: docs/architecture/desk.md, in the course's repository.
"""
