"""What only GitHub needs: events, artifacts, comments, check runs. Nothing else of the grader imports it."""
