"""What must hold of the course at any time; each check is a function whose docstring is its title."""
