"""The students' command line: parse the arguments, call the grader, render the outcome.

Design: docs/architecture/tito.md, in the course's repository.
"""
