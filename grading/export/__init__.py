"""Export results in the formats of gradebooks, reporters and test dashboards.

All exporters are pure functions of result records.

The design is described in docs/architecture/reports.md, in the course's repository.
"""
