"""How a result is shown: pure functions of the record, and what moves while one is being made."""
