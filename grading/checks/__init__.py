"""The checks: one file each; a check measures, the manifest's thresholds decide.

Design: docs/architecture/measurement.md, in the course's repository.
"""
