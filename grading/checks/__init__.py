"""The checks, one file each. A check measures, and the manifest's thresholds decide.

Design: docs/architecture/measurement.md, in the course's repository.
"""
