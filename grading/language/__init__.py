"""Milestone 5's texts, the prompts for them, and the rivals that a network has to beat.

All of it runs in the grader's process. Read `documents.py` first, then `function_corpus.py` and `story_corpus.py`.

Design: docs/architecture/measurement.md, in the course's repository.
"""
