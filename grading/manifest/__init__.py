"""The model of milestones.yaml, and its reader.

The design is described in docs/architecture/release.md, in the course's repository.
"""
