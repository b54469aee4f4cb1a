"""The static site: a class's records and the course, as pages that need neither server nor JavaScript.

Design: docs/architecture/site.md, in the course's repository.
"""
