"""The students' command line: parse the arguments, call the grader, render the outcome.

The design is described in docs/architecture/tito.md, in the course's repository.
"""
