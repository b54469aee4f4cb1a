"""Everything together."""

from grading.testing import expect, task


@task("1.2")
def test_the_recipe_builds_a_rectangle(student):
    """What the recipe builds has an area."""
    rectangle = student.recipe("01_shapes").build(student.rng(0))
    expect.that(rectangle.area() >= 0, call="build(rng).area()", got="a negative area", expected="a positive one")
