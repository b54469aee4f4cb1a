"""Mutation testing: measure how many small wrong changes to the solutions the students' tests notice.

Cosmic Ray makes the changes. Design: docs/architecture/tests.md, in the course's repository.
"""
