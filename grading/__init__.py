"""The autograder: manifest → submission → checks → result → renderings."""

__version__ = "0.1.0"
