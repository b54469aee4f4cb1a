"""milestones.yaml: the model and its reader.

Design: docs/architecture/release.md, in the course's repository.
"""
