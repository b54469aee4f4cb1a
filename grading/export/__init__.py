"""Results in the formats of other tools: gradebooks, reporters and test dashboards. Pure functions of result records.

Design: docs/architecture/reports.md, in the course's repository.
"""
