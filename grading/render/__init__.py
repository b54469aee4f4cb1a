"""How a result is shown: pure functions of the record, and what moves while one is being made.

Design: docs/architecture/reports.md, in the course's repository.
"""
