"""The autograder: it reads the manifest, copies the submission, runs the checks, builds the result and renders it.

The design is described in docs/architecture/README.md, in the course's repository.
"""

__version__ = "0.1.0"
