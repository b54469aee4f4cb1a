"""The static site: the course and a class's records, as pages that need neither a server nor JavaScript.

Design: docs/architecture/site.md, in the course's repository.
"""
