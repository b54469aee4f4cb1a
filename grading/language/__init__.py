"""Milestone 5's texts, what is asked about them, and the rivals that a network has to beat.

All of it runs in the grader's process. Start with `corpus.py`, then `functions.py` and `stories.py`.

Design: docs/architecture/measurement.md, in the course's repository.
"""
