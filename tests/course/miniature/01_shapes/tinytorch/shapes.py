"""Areas of shapes."""


def square(side: float) -> float:
    """Return the area of a square."""
    # BEGIN SOLUTION 1.1
    return side * side
    # END SOLUTION


class Rectangle:
    """A rectangle that knows its area."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height

    def area(self) -> float:
        """Return width times height; raise ValueError for a negative side."""
        # BEGIN SOLUTION 1.2
        if min(self.width, self.height) < 0:
            raise ValueError(f"a side is negative: {min(self.width, self.height)}")
        return self.width * self.height
        # END SOLUTION
