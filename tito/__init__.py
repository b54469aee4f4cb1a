"""The students' command line: parse, call, render.

Design: docs/architecture/tito.md, in the course's repository.
"""
