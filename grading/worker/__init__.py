"""What runs beside student code: `main.py` and the codec it shares with the grader, `wire.py`. Nothing else of ours."""
