"""The autograder: manifest → submission → checks → result → renderings.

The design is described in docs/architecture/README.md, in the course's repository.
"""

__version__ = "0.1.0"
