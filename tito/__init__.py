"""The students' command line: parse, call, render."""
