"""Milestone 5's texts, their prompts, and the rivals that a network has to beat.

Everything here runs in the grader's process. Start with `corpus.py`, then `functions.py` and `stories.py`.

Design: docs/architecture/measurement.md, in the course's repository.
"""
