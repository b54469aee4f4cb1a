"""The recipe of milestone 4 as a whole, which tests of single functions do not cover."""

import numpy as np

from grading.testing import expect, recipes, task, values
from grading.testing.reports import ignore_reports

RECIPE = recipes.ImageRecipe("13_kernels", (3, 32, 32), sides=2, reports_the_end=True)


@task("13.17")
def test_recipe_learns_a_simple_task(student, rng):
    """From 256 images with a bright square above or below the middle, the recipe learns where the square is."""
    recipes.check_simple_task_is_learned(student, rng, RECIPE)


@task("13.17")
def test_recipe_may_be_asked_while_it_trains(student, rng):
    """Predictions requested from inside progress do not change what is learned."""
    recipes.check_predicting_while_training(student, rng, RECIPE, 40)


@task("13.17")
def test_recipe_leaves_what_it_was_given(student, rng):
    """Training changes neither the images nor another network."""
    recipes.check_inputs_are_unchanged(student, rng, RECIPE, 40)


@task("13.17")
def test_recipe_in_int8_names_what_the_trained_network_does(student, rng):
    """A trained network's int8 tensors still classify images in a network that was compressed from fresh weights."""
    ours, (images, labels) = RECIPE.load_recipe(student), RECIPE.draw_squares(rng, 376)
    trained, fresh = ours.build(student.rng(8)), ours.build(student.rng(9))
    ours.train(trained, images[:256], labels[:256], rng=student.rng(8), progress=ignore_reports)
    small, other = ours.compress(trained, images[:256]), ours.compress(fresh, images[:256])
    kept = [values(tensor) for tensor in [*small.parameters(), *small.buffers()]]
    for tensor, array in zip([*other.parameters(), *other.buffers()], kept, strict=True):
        tensor.data = array
    p = expect.pull(ours.predict(other, images[256:]), call="predict(the compressed network, 120 new images)")
    right = float((p.argmax(axis=1) == labels[256:]).mean())
    hint = "everything that a compressed network knows is in its parameters() and buffers()"
    call = "the fraction of 120 new images that the int8 network classifies correctly"
    expect.that(right >= 0.9, call=call, got=right, expected="at least 0.9", hint=hint)
    float_p = np.asarray(expect.pull(ours.predict(trained, images[256:]), call="predict(trained network)"))
    expect.array(p, float_p, call="its probabilities, against those of the float network", atol=0.15)
