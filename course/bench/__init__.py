"""The figures this project promises, measured."""
