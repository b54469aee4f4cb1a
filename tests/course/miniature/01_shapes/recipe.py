"""What a milestone would train."""

from tinytorch.shapes import Rectangle


def build(rng):
    """Return a rectangle."""
    return Rectangle(rng.random(), 2.0)
