"""What runs in workflows on GitHub; nothing else of the grader imports it."""
