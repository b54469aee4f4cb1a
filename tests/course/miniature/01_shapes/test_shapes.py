"""Tests of the miniature module."""

from grading.testing import expect, task


@task("1.1")
def test_square(student):
    """A square of side 3 has area 9."""
    expect.equal(student.shapes.square(3), 9, call="square(3)")


@task("1.2")
def test_rectangle(student):
    """A 2 × 3 rectangle has area 6."""
    expect.equal(student.shapes.Rectangle(2, 3).area(), 6, call="Rectangle(2, 3).area()")


@task("1.2")
def test_rectangle_refuses_a_negative_side(student):
    """A negative side is an error that says so."""
    with expect.raises(ValueError, call="Rectangle(-2, 3).area()", mentions=("-2",)):
        student.shapes.Rectangle(-2, 3).area()
