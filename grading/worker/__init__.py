"""What runs beside student code: `main.py`, its codec `wire.py`, `frames.py`, and the fence. Nothing else of ours.

Design: docs/architecture/isolation.md, in the course's repository.
"""
