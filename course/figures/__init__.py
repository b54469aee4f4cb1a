"""The lessons' pictures, drawn from what the modules' solutions compute: one file for each module.

Design: docs/architecture/pictures.md, in the course's repository.
"""
