"""Miniature submissions and how they are built."""
