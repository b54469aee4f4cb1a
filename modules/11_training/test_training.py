"""The tests of module 11: means, convergence, the trainer, its state, checkpoint files and a progress bar."""

import io
import json
import math
import zipfile
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np

from grading.testing import expect, recipes, task, traced, values

RECIPE = recipes.ImageRecipe("11_training", (3, 32, 32), sides=2, reports_the_end=True)

# 11.1: means


@task("11.1")
def test_means_weight_batches_by_their_length(student, rng):
    """The mean of a figure is taken over examples: each batch is weighted by its number of examples."""
    sizes = [int(n) for n in rng.integers(1, 50, 6)]
    figures = [{"loss": float(a), "accuracy": float(b)} for a, b in rng.normal(size=(6, 2))]
    got = student.training.means(list(zip(sizes, figures, strict=True)))
    wanted = {name: np.average([f[name] for f in figures], weights=sizes) for name in figures[0]}
    call = f"means of batches of {sizes} examples"
    expect.equal(sorted(got), sorted(wanted), call=f"the names in {call}")
    for name, value in wanted.items():
        expect.that(type(got[name]) is float, call=call, got=got[name], expected="a Python float")
        expect.array(
            got[name], value, call=f"{name} in {call}", rtol=1e-9, hint="the sum of n · value over the sum of n"
        )
    expect.equal(student.training.means([(4, {"loss": 0.5})]), {"loss": 0.5}, call='means([(4, {"loss": 0.5})])')


@task("11.1")
def test_means_of_nothing_are_refused(student):
    """A mean of zero examples raises a ValueError."""
    for batches in ([], [(0, {"loss": 1.0})]):
        with expect.raises(ValueError, call=f"means({batches})"):
            student.training.means(batches)


# 11.2: when a curve is done


@task("11.2")
def test_since_best_counts(student, rng):
    """since_best counts the values after the best one; with `largest`, larger values are better."""
    since_best = student.training.since_best
    for curve, wanted, hint in (
        ([1.0], 0, "the first number is the best so far, and no value came after it"),
        ([3.0, 2.0, 2.5, 1.9], 0, "1.9 is the best, and a new best resets the counter to 0"),
        ([2.0, 1.0, 3.0, 4.0], 2, "1.0 is the best, and 2 values came after it"),
        ([1.0, 1.0, 1.0], 2, "an equal value is not better, so 2 values came after the best, the first 1.0"),
    ):
        expect.equal(since_best(curve), wanted, call=f"since_best({curve})", hint=hint)
    curve = [float(value) for value in rng.normal(size=30)]
    for end in range(1, 31):
        some = curve[:end]
        for largest in (False, True):
            best = int(np.argmax(some) if largest else np.argmin(some))
            shown = ", ".join([*(f"{value:.3g}" for value in some[:5]), *["…"][: end > 5]])
            call = f"since_best([{shown}], largest={largest}), {end} value{'s' if end > 1 else ''}"
            hint = f"the best is number {best + 1} of {end}, the {'largest' if largest else 'smallest'}"
            expect.equal(since_best(some, largest=largest), end - 1 - best, call=call, hint=hint)


@task("11.2")
def test_the_first_number_is_a_best(student):
    """Infinity counts like any other number: the first value is the best so far, even if nothing could be worse."""
    inf = float("inf")
    for curve, wanted in (([inf], 0), ([inf, inf], 1), ([inf, 5.0], 0), ([inf, 5.0, inf, inf], 2)):
        for largest in (False, True):
            some = [-value for value in curve] if largest else curve
            call, hint = f"since_best({some}, largest={largest})", "inf < inf is False: begin without a best value"
            expect.equal(student.training.since_best(some, largest=largest), wanted, call=call, hint=hint)


@task("11.2")
def test_since_best_requires_more_than_min_delta(student):
    """A value only counts as better if it improves by more than min_delta; many small improvements add up."""
    for curve, delta, largest, wanted in (
        ([3.0, 2.0, 2.5, 1.9], 0.5, False, 2),
        ([3.0, 2.5], 0.5, False, 1),
        ([1.0, 1.5], 0.25, True, 0),
        ([1.0, 1.25], 0.25, True, 1),
        ([3.0, 2.75, 2.5, 2.25], 0.5, False, 0),
        ([3.0, 2.75, 2.5, 2.25, 2.0], 0.5, False, 1),
    ):
        call = f"since_best({curve}, min_delta={delta}, largest={largest})"
        hint = "a better value differs from the best by more than min_delta, in the right direction"
        expect.equal(student.training.since_best(curve, delta, largest), wanted, call=call, hint=hint)


@task("11.2")
def test_nan_is_never_best(student):
    """NaN is never better than anything, neither at the beginning nor later; for an empty curve the result is 0."""
    nan = float("nan")
    for curve, wanted in (([], 0), ([nan, nan], 2), ([nan, 5.0], 0), ([1.0, nan, nan], 2), ([2.0, nan, 1.0, 3.0], 1)):
        for largest in (False, True):
            some = [-value for value in curve] if largest else curve
            call = f"since_best({some}, largest={largest})"
            hint = "NaN is never a best, and any number is better than none; every value after the best counts"
            expect.equal(student.training.since_best(some, largest=largest), wanted, call=call, hint=hint)


@task("11.2")
def test_a_curve_converges_when_it_has_fallen_and_is_flat(student):
    """A curve must have fallen, and its last two windows may differ by at most tolerance times the total fall."""
    converged, nan = student.training.has_converged, float("nan")
    for losses, window, tolerance, wanted in (
        ([2.3, 1.0, 0.6, 0.5, 0.5, 0.48], 2, 0.05, True),
        ([2.3, 1.0, 0.6, 0.5, 0.5, 0.48], 2, 0.03, False),
        ([9.0, 3.0, 1.0], 1, 0.25, True),
        ([9.0, 3.0, 1.0], 1, 0.24, False),
        ([9.0, 1.0, 3.0], 1, 0.34, True),
        ([9.0, 1.0, 3.0], 1, 0.3, False),
        ([9.0, 5.0, 1.0, 1.0], 2, 1.0, True),
        ([9.0, 1.0, 1.0], 2, 1.0, False),
        ([9.0, 1.0, 1.0], 1, 0.0, True),
        ([9.0, 1.0, 1.0, 1.0, 1.0], 3, 1.0, False),
        ([1.0, 1.0, 1.0, 1.0], 2, 1.0, False),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2, 1.0, False),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2, 0.0, False),
        ([9.0, nan, nan, nan, nan], 2, 1.0, False),
        ([], 1, 1.0, False),
    ):
        call = f"has_converged({losses}, window={window}, tolerance={tolerance})"
        hint = explain_convergence(losses, window, tolerance)
        expect.equal(bool(converged(losses, window, tolerance)), wanted, call=call, hint=hint)


@task("11.2")
def test_convergence_by_its_formula(student, rng):
    """On noisy curves, the result agrees with |A - B| ≤ tolerance · (F - B) and B < F."""
    for _ in range(40):
        window, tolerance = int(rng.integers(1, 5)), float(rng.choice([0.01, 0.05, 0.2]))
        losses = [float(x) for x in 2 * np.exp(-np.arange(12) / rng.uniform(1, 5)) + rng.normal(0, 0.05, 12)]
        before, last = np.mean(losses[-2 * window : -window]), np.mean(losses[-window:])
        share = abs(before - last) / (losses[0] - last)
        if abs(share - tolerance) < 1e-6:
            continue
        call = f"has_converged({np.round(losses, 3).tolist()}, window={window}, tolerance={tolerance})"
        wanted = bool(last < losses[0] and share <= tolerance)
        hint = explain_convergence(losses, window, tolerance)
        expect.equal(student.training.has_converged(losses, window, tolerance), wanted, call=call, hint=hint)


@task("11.2")
def test_convergence_by_default(student):
    """By default a window is 5 losses, and the tolerance is 1%."""
    for flat, last, wanted in ((10, 0.0, True), (8, 0.0, False), (10, 0.49, True), (10, 0.5, False)):
        losses = [10.0] + [0.0] * flat
        losses[-1] = last
        call = f"has_converged({losses})"
        hint = explain_convergence(losses, 5, 0.01)
        expect.equal(student.training.has_converged(losses), wanted, call=call, hint=hint)
    for window, tolerance, mention in ((0, 0.1, "window"), (-1, 0.1, "window"), (2, -0.1, "tolerance")):
        with expect.raises(ValueError, mentions=(mention,), call=f"has_converged([], {window}, {tolerance})"):
            student.training.has_converged([], window, tolerance)
    student.training.has_converged([1.0], 1, 0.0)


def explain_convergence(losses, window, tolerance):
    """Return the figures that decide whether a curve has converged."""
    if window > len(losses) / 2:
        return f"convergence needs at least 2 · window = {2 * window} losses, and these are {len(losses)}"
    first, before, last = losses[0], np.mean(losses[-2 * window : -window]), np.mean(losses[-window:])
    change, limit = abs(before - last), tolerance * (first - last)
    enough = f"{len(losses)} losses are just enough; " if len(losses) == 2 * window else ""
    return (
        f"{enough}F = {first:.4g}, A = {before:.4g} and B = {last:.4g}, so B < F is {bool(last < first)}; "
        f"|A - B| = {change:.4g}, and tolerance · (F - B) = {limit:.4g}"
    )


# 11.3: early stopping


@task("11.3")
def test_early_stopping_waits_for_its_patience(student):
    """Training stops after `patience` epochs without a better value of `monitor`; `stopped` is set to the reason."""
    curve = [3.0, 2.0, 2.5, 2.1, 2.2, 1.0]
    for patience, first in ((1, 3), (2, 4), (3, 5), (4, None)):
        stopping = student.training.EarlyStopping("loss", patience)
        for epochs in range(1, 7):
            reason = call_callback(student, stopping, [{"loss": value, "other": -epochs} for value in curve[:epochs]])
            late = first is not None and epochs >= first and epochs < 6
            call = f'EarlyStopping("loss", {patience}) after the losses {curve[:epochs]}: trainer.stopped'
            fine = type(reason) is str and "loss" in reason if late else reason is None
            wanted = "a reason that names the monitor" if late else "None"
            hint = (
                f"since_best of these losses is {epochs - 1 - int(np.argmin(curve[:epochs]))}; patience is {patience}"
            )
            expect.that(fine, call=call, got=reason, expected=wanted, hint=hint)


@task("11.3")
def test_early_stopping_by_default(student):
    """EarlyStopping defaults to val_loss and 3 epochs of patience; min_delta and largest are passed to since_best."""
    rows = [{"val_loss": value, "loss": -epoch} for epoch, value in enumerate([1.0, 1.0, 1.0, 1.0])]
    for end, wanted in ((3, True), (4, False)):
        running = call_callback(student, student.training.EarlyStopping(), rows[:end]) is None
        call, hint = f"EarlyStopping() continues after {end} equal values of val_loss", "patience is 3 by default"
        expect.equal(running, wanted, call=call, hint=hint)
    rows = [{"accuracy": value} for value in (0.5, 0.75, 0.8)]
    for delta, wanted in ((0.0, True), (0.1, False)):
        stopping = student.training.EarlyStopping("accuracy", patience=1, min_delta=delta, largest=True)
        call = f'EarlyStopping("accuracy", 1, min_delta={delta}, largest=True) continues after 0.5, 0.75, 0.8'
        hint = "pass min_delta and largest on to since_best"
        expect.equal(call_callback(student, stopping, rows) is None, wanted, call=call, hint=hint)


# 11.4: one step


@task("11.4")
def test_a_step_is_a_step_of_the_optimiser(student, rng):
    """A step moves the parameters exactly as the optimiser does with only this batch's gradients."""
    x, y = draw_examples(rng, 12)
    nets = [build_small_network(student) for _ in range(2)]
    trainer = student.training.Trainer(nets[0], student.dense.CrossEntropyLoss(), make_sgd(student, nets[0], 0.5))
    for parameter in nets[0].parameters():
        parameter.grad = student.tensor.Tensor(np.full(values(parameter).shape, 100.0, "float32"))
    for step in range(1, 4):
        before = [values(parameter) for parameter in nets[0].parameters()]
        got = trainer.train_step(*make_tensors(student, x, y))
        criterion = student.dense.CrossEntropyLoss()
        right = student.dense.accuracy(nets[1](student.tensor.Tensor(x)), student.tensor.Tensor(y))
        loss = student.layers.gradient_descent_step(nets[1], criterion, *make_tensors(student, x, y), 0.5)
        call = f"trainer.train_step(inputs, targets), step {step}"
        expect.equal(sorted(got), ["accuracy", "loss"], call=f"the names in {call}")
        expect.array(got["loss"], loss, call=f"the loss of {call}", hint="return the loss before the step")
        expect.array(got["accuracy"], right, call=f"the accuracy of {call}", hint="use the output that gave the loss")
        expect.equal(trainer.step, step, call=f"trainer.step after {call}")
        still = "No parameter moved: backward computes the gradients, and then the optimiser takes its step."
        hint = "clear old gradients before backward"
        expect_same_parameters(nets[0], nets[1], call=call, hint=hint, rtol=1e-4, atol=1e-5, traps={still: before})


@task("11.4")
def test_a_step_can_be_clipped(student, rng):
    """With max_norm, the gradients are clipped before the step; a max_norm above their norm has no effect."""
    x, y = draw_examples(rng, 12)
    nets = [build_small_network(student) for _ in range(3)]
    start = [values(p) for p in nets[0].parameters()]
    for net, max_norm in zip(nets, (None, 1e-3, 1e6), strict=True):
        optimizer = make_sgd(student, net, 1.0)
        student.training.Trainer(net, student.dense.CrossEntropyLoss(), optimizer, max_norm=max_norm).train_step(
            *make_tensors(student, x, y)
        )
    lengths = []
    for net in nets:
        moves = [values(p) - s for p, s in zip(net.parameters(), start, strict=True)]
        lengths.append(math.sqrt(sum(float((move.astype("float64") ** 2).sum()) for move in moves)))
    expect.array(lengths[1], 1e-3, rtol=0.01, call="the length of a step with SGD, lr=1 and max_norm=1e-3")
    call = "the length of a step with max_norm=1e6"
    expect.array(lengths[2], lengths[0], call=call, hint="the step must be as long as without max_norm")


@task("11.4")
def test_a_schedule_steps_in_every_batch_or_not(student, rng):
    """A scheduler whose every_batch is True steps after each batch; other schedulers do not."""
    net, batch = build_small_network(student), make_tensors(student, *draw_examples(rng, 8))
    optimizer = make_sgd(student, net, 0.5)
    scheduler = student.optimizers.StepLR(optimizer, 1, 0.5)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), optimizer, scheduler=scheduler)
    for every_batch, wanted in ((False, 0.5), (True, 0.25)):
        scheduler.every_batch = every_batch
        trainer.train_step(*batch)
        call, hint = (
            f"lr after a train_step, scheduler.every_batch {every_batch}",
            "step it only if every_batch is True",
        )
        expect.array(optimizer.lr, wanted, call=call, hint=hint)


@task("11.4")
def test_the_optimiser_steps_before_its_schedule(student, rng):
    """The first step uses the initial learning rate, and the schedule changes it only afterwards."""
    x, y = draw_examples(rng, 8)
    nets = [build_small_network(student) for _ in range(2)]
    optimizers = [make_sgd(student, net, 0.5) for net in nets]
    falling = student.optimizers.StepLR(optimizers[0], 1, 0.1)
    falling.every_batch = True
    for net, optimizer, scheduler in zip(nets, optimizers, (falling, None), strict=True):
        trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), optimizer, scheduler=scheduler)
        trainer.train_step(*make_tensors(student, x, y))
    expect_same_parameters(
        *nets, call="one train_step with lr=0.5 and StepLR", hint="optimizer first", rtol=1e-4, atol=1e-6
    )


@task("11.4")
def test_a_step_runs_forward_once(student, rng):
    """Loss and metrics come from a single forward pass, so dropout's generator draws only one mask."""
    batch = make_tensors(student, *draw_examples(rng, 8))
    nets = [build_small_network(student, dropout=0.5) for _ in range(2)]
    trainer = student.training.Trainer(nets[0], student.dense.CrossEntropyLoss(), make_sgd(student, nets[0], 0.5))
    trainer.train_step(*batch)
    nets[1](batch[0])
    states = [net[2].rng.bit_generator.state for net in nets]
    call = "the state of Dropout's generator after a train_step, compared with one call of the network"
    expect.equal(states[0], states[1], call=call, hint="measure the output that gave the loss")


@task("11.4")
def test_a_step_leaves_no_recorder(student, rng):
    """Recording stops after each step, even if the network raised an error."""
    net = build_small_network(student)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.1))
    trainer.train_step(*make_tensors(student, *draw_examples(rng, 4)))
    with expect.raises(ValueError, call="train_step with images of the wrong size"):
        trainer.train_step(*make_tensors(student, np.ones((4, 7), "float32"), np.zeros(4, int)))
    left = student.tensor.set_recorder(None)
    expect.that(left is None, call="the recorder after train_step", got="a tape", expected="None", hint="with Tape():")


@task("11.4")
def test_a_loss_that_is_not_finite_stops(student, rng):
    """A loss of NaN raises a FloatingPointError with the step's number, before parameters change."""
    net, (x, y) = build_small_network(student), draw_examples(rng, 6)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.1))
    for _ in range(2):
        trainer.train_step(*make_tensors(student, x, y))
    before = [values(p) for p in net.parameters()]
    x[2, 1] = np.nan
    with expect.raises(FloatingPointError, mentions=("3",), call="train_step with a NaN in its inputs, step 3"):
        trainer.train_step(*make_tensors(student, x, y))
    hint = "raise the error before the optimiser takes its step"
    for parameter, value in zip(net.parameters(), before, strict=True):
        expect.array(parameter, value, rtol=0, atol=0, call="a parameter after a step with a loss of NaN", hint=hint)
    expect.equal(trainer.step, 2, call="trainer.step after a step with a loss of NaN")


@task("11.4")
def test_an_infinite_loss_stops(student):
    """An infinite loss also raises a FloatingPointError, before parameters change."""
    net = student.layers.Sequential(student.layers.Dense(1, 1, rng=student.rng(1)))
    net[0].weight.data = np.ones((1, 1), "float32")
    trainer = student.training.Trainer(net, student.layers.MSELoss(), make_sgd(student, net, 0.1), metrics={})
    infinite = make_tensors(student, np.full((2, 1), np.inf, "float32"), np.zeros((2, 1), "float32"))
    call, hint = "train_step with an infinite input, and therefore an infinite loss", "math.isfinite"
    with expect.raises(FloatingPointError, mentions=("1",), call=call, hint=hint):
        trainer.train_step(*infinite)
    expect.array(net[0].weight, [[1.0]], rtol=0, atol=0, call=f"the weight after {call}")


@task("11.4")
def test_metrics_are_named(student, rng):
    """Every metric is called with (output, targets) and returned under its name; the loss is always included."""
    net, (x, y) = build_small_network(student), draw_examples(rng, 9)
    for metrics, names in (({}, ["loss"]), ({"right": student.dense.accuracy}, ["loss", "right"])):
        trainer = student.training.Trainer(
            net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.0), metrics=metrics
        )
        expect.equal(
            sorted(trainer.train_step(*make_tensors(student, x, y))), names, call=f"train_step, metrics {names[1:]}"
        )


# 11.5: evaluate


@task("11.5")
def test_evaluate_is_the_mean_of_all_examples(student, rng):
    """`evaluate` averages loss and accuracy over all examples, with no dropout and no parameter changes."""
    net, (x, y) = build_small_network(student, dropout=0.5), draw_examples(rng, 11)
    before = [values(p) for p in net.parameters()]
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    logits = x
    for place in (0, 3):
        logits = logits @ values(net[place].weight).T + values(net[place].bias)
        logits = logits if place else np.maximum(logits, 0)
    for size in (11, 4, 1):
        got = trainer.evaluate(make_batch_list(student, x, y, size))
        call, hint = (
            f"trainer.evaluate(11 examples in batches of {size})",
            "set evaluation mode, and use means over examples",
        )
        expect.equal(sorted(got), ["accuracy", "loss"], call=f"the names in {call}")
        expect.array(got["loss"], compute_cross_entropy(logits, y), rtol=1e-4, call=f"the loss of {call}", hint=hint)
        right = float((logits.argmax(axis=1) == y).mean())
        expect.array(got["accuracy"], right, call=f"the accuracy of {call}", hint=hint)
    for parameter, value in zip(net.parameters(), before, strict=True):
        expect.array(parameter, value, rtol=0, atol=0, call="a parameter after evaluate")
    with expect.raises(ValueError, call="trainer.evaluate([])"):
        trainer.evaluate([])


@task("11.5")
def test_evaluate_restores_each_layers_mode(student, rng):
    """After evaluate every layer is in the mode it was in before, even after an error in a batch."""
    net, (x, y) = build_small_network(student, dropout=0.5, norm=True), draw_examples(rng, 6, images=True)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    places = [i for i, layer in enumerate(net) if hasattr(layer, "training")]
    for modes in ([True, True], [True, False], [False, True], [False, False]):
        for place, mode in zip(places, modes, strict=True):
            net[place].training = mode
        running = values(net[places[0]].running_mean)
        trainer.evaluate(make_batch_list(student, x, y, 3))
        call = f"the modes of two layers after evaluate, {modes} before"
        expect.equal([net[place].training for place in places], modes, call=call, hint="restore each layer's mode")
        got = net[places[0]].running_mean
        expect.array(
            got, running, rtol=0, atol=0, call="running_mean after evaluate", hint="set_training(network, False)"
        )
        with expect.raises(ValueError, call="trainer.evaluate with targets out of range"):
            trainer.evaluate(make_batch_list(student, x, y + 50, 3))
        expect.equal([net[place].training for place in places], modes, call=f"{call} that raised", hint="try, finally")


@task("11.5")
def test_evaluate_records_nothing(student, rng):
    """During evaluate no operation is recorded, and afterwards the previous recorder is restored."""
    net, (x, y) = build_small_network(student), draw_examples(rng, 6)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    with traced(student.tensor) as trace:
        trainer.evaluate(make_batch_list(student, x, y, 3))
        expect.equal(len(trace.entries), 0, call="the operations a Trace records in evaluate", hint="with no_grad():")
        student.tensor.Tensor([1.0]).sum()
        expect.equal(len(trace.entries), 1, call="the operations a Trace records after evaluate")


@task("11.5")
def test_evaluate_uses_no_tape(student, rng):
    """Outputs computed in evaluate do not require a gradient or have a tape, even inside a tape's block."""
    relu, (x, y) = student.activations.ReLU(), draw_examples(rng, 6)
    net = student.layers.Sequential(student.layers.Dense(5, 3, rng=student.rng(1)), relu)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    hint = "use no_grad(), which pauses recording; a new Tape would record everything and keep every activation"
    for outer in (nullcontext(), student.autograd.Tape()):
        with outer:
            trainer.evaluate(make_batch_list(student, x, y, 3))
        got = (relu.output.requires_grad, relu.output.tape is None)
        expect.equal(got, (False, True), call="output.requires_grad and output.tape is None, in evaluate", hint=hint)


# 11.6: fit


@task("11.6")
def test_fit_trains_epoch_by_epoch(student, rng):
    """An epoch takes a step for each batch, and its row in the history holds the means of the batches' figures."""
    net, (x, y) = build_small_network(student), draw_examples(rng, 10)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    reported = []

    def record_progress(step, steps, **figures):
        reported.append((step, steps, figures, trainer.step, trainer.epoch))

    loader = make_batch_list(student, x, y, 4)
    got = trainer.fit(loader, 3, progress=record_progress)
    call = "trainer.fit(10 examples in batches of 4, 3 epochs)"
    hint = "progress is called after each of 3 · 3 steps; trainer.epoch counts each epoch once, after its last step"
    wanted = [(k, (k - 1) // 3) for k in range(1, 10)]
    expect.equal([e[3:] for e in reported], wanted, call=f"trainer.step, trainer.epoch in {call}", hint=hint)
    hint = "the step's number, and the number of steps of all epochs: epochs times the loader's length"
    wanted = [(k, 9) for k in range(1, 10)]
    expect.equal([entry[:2] for entry in reported], wanted, call=f"step and steps in {call}", hint=hint)
    other = build_small_network(student)
    other = student.training.Trainer(other, student.dense.CrossEntropyLoss(), make_sgd(student, other, 0.5))
    for step, _, figures, _, _ in reported:
        its_call = f"progress's figures in {call}, step {step}"
        fine = sorted(figures) == ["accuracy", "loss"] and all(type(f) is float for f in figures.values())
        expect.that(fine, call=its_call, got=figures, expected="loss and accuracy as floats")
        for name, figure in dict(other.train_step(*loader[(step - 1) % 3])).items():
            hint = "what train_step returned for the batch of this step"
            expect.array(figures[name], figure, rtol=1e-4, call=f"{name} of {its_call}", hint=hint)
    for rows, what in ((got, call), (trainer.history, "trainer.history")):
        expect.equal(
            [sorted(row) for row in rows], [["accuracy", "epoch", "loss", "lr"]] * 3, call=f"the names in {what}"
        )
        expect.equal(
            [(row["epoch"], row["lr"]) for row in rows], [(1, 0.5), (2, 0.5), (3, 0.5)], call=f"epoch, lr in {what}"
        )
        for row in rows:
            its = [figures for step, _, figures, _, _ in reported if (step - 1) // 3 + 1 == row["epoch"]]
            for name in ("loss", "accuracy"):
                mean = np.average([figures[name] for figures in its], weights=[4, 4, 2])
                hint = "use means on the batches of this epoch"
                expect.array(row[name], mean, call=f"{name} of epoch {row['epoch']} in {what}", hint=hint)
    expect.equal((trainer.epoch, trainer.step), (3, 9), call=f"trainer.epoch, trainer.step after {call}")
    expect.that(trainer.stopped is None, call=f"trainer.stopped after {call}", got=trainer.stopped, expected="None")


@task("11.6")
def test_fit_counts_epochs_in_all(student, rng):
    """`epochs` is the total number of epochs: a second call runs only those that remain."""
    net, other = build_small_network(student), build_small_network(student)
    loader = make_batch_list(student, *draw_examples(rng, 6), 3)
    trainer, whole = (
        student.training.Trainer(n, student.dense.CrossEntropyLoss(), make_sgd(student, n, 0.5)) for n in (net, other)
    )
    reported = []
    for epochs in (1, 3, 3, 2):
        trainer.fit(loader, epochs, progress=lambda step, steps, **_: reported.append((step, steps)))
    expect.equal(
        reported, [(1, 2), (2, 2), (3, 6), (4, 6), (5, 6), (6, 6)], call="step, steps of fit to 1, 3, 3 and 2 epochs"
    )
    history = whole.fit(loader, 3)
    call = "a network after fit to 1 and then to 3 epochs"
    expect_same_parameters(net, other, call=call, hint="it must be the same as after fit to 3", rtol=0, atol=0)
    rows = [dict(row) for row in trainer.history]
    expect.equal(rows, [dict(row) for row in history], call="the history after fit to 1 and then to 3 epochs")


@task("11.6")
def test_fit_trains_in_training_mode_and_evaluates_in_between(student, rng):
    """Every epoch trains in training mode and then evaluates `validation`, which adds val_loss and so on to the row."""
    net = build_small_network(student, dropout=0.5)
    x, y = draw_examples(rng, 6)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    student.dense.set_training(net, False)
    modes = []
    held_out = make_batch_list(student, *draw_examples(rng, 5), 2)

    def record_progress(step, steps, **_figures):  # noqa: ARG001 - callers may pass it by this name
        modes.append(net[2].training)
        if step % 2 == 0:  # at the end of an epoch, predict may leave the network in evaluation mode
            student.dense.set_training(net, False)

    rows = trainer.fit(make_batch_list(student, x, y, 3), 2, held_out, record_progress)
    expect.equal(modes, [True] * 4, call=".training of Dropout in each step of fit", hint="set it again in each epoch")
    names = ["accuracy", "epoch", "loss", "lr", "val_accuracy", "val_loss"]
    expect.equal([sorted(row) for row in rows], [names] * 2, call="the names in the rows of fit with validation")
    now = trainer.evaluate(held_out)
    for name, value in now.items():
        hint = "evaluate it after the epoch's last step"
        expect.array(rows[-1][f"val_{name}"], value, rtol=1e-6, call=f"val_{name} of the last epoch", hint=hint)


@task("11.6")
def test_fit_steps_the_schedule(student, rng):
    """A schedule steps once per epoch, or per batch if every_batch is True; the row has the lr at the epoch's start."""
    loader = make_batch_list(student, *draw_examples(rng, 6), 2)
    for every_batch, wanted, end in ((False, [1.0, 0.5, 0.25], 0.125), (True, [1.0, 0.125, 0.015625], 2**-9)):
        net = build_small_network(student)
        optimizer = make_sgd(student, net, 1.0)
        scheduler = student.optimizers.StepLR(optimizer, 1, 0.5)
        scheduler.every_batch = every_batch
        trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), optimizer, scheduler=scheduler)
        call = f"lr in the rows of 3 epochs of 3 batches, StepLR(optimizer, 1, 0.5), every_batch {every_batch}"
        hint = "a row has the lr before its epoch's first step; fit steps a schedule whose every_batch is False"
        expect.equal([row["lr"] for row in trainer.fit(loader, 3)], wanted, call=call, hint=hint)
        expect.equal(optimizer.lr, end, call=f"{call}: lr after the last epoch", hint=hint)


@task("11.6")
def test_an_epoch_is_trained_at_the_rate_of_its_row(student, rng):
    """A schedule that steps once per epoch does so after the epoch's last step; until then the row's rate applies."""
    loader, net, used = make_batch_list(student, *draw_examples(rng, 6), 2), build_small_network(student), []
    optimizer = make_sgd(student, net, 1.0)
    scheduler = student.optimizers.StepLR(optimizer, 1, 0.5)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), optimizer, scheduler=scheduler)
    rows = trainer.fit(loader, 3, progress=lambda *_, **__: used.append(optimizer.lr))
    call, hint = (
        "the lr of each step in 3 epochs of 3 steps, StepLR(optimizer, 1, 0.5) from 1.0",
        "step the schedule after the epoch, not before",
    )
    expect.equal(used, [1.0] * 3 + [0.5] * 3 + [0.25] * 3, call=call, hint=hint)
    expect.equal([row["lr"] for row in rows], [1.0, 0.5, 0.25], call="lr in the rows of these epochs")


@task("11.6")
def test_an_epoch_is_over_when_callbacks_are_called(student, rng):
    """Before the callbacks are called, the row is added, the epoch is counted, and the schedule steps."""
    net, loader = build_small_network(student), make_batch_list(student, *draw_examples(rng, 6), 2)
    optimizer = make_sgd(student, net, 1.0)
    scheduler = student.optimizers.StepLR(optimizer, 1, 0.5)
    options = {"scheduler": scheduler, "callbacks": [student.training.math.isnan]}  # isnan(trainer) raises a TypeError
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), optimizer, **options)
    with expect.raises(TypeError, call="trainer.fit(loader, 2, loader) with a callback that raises a TypeError"):
        trainer.fit(loader, 2, loader)
    got = (trainer.epoch, trainer.step, len(trainer.history), scheduler.count, optimizer.lr)
    call = "epoch, step, len(history), scheduler.count and lr, when the first callback of the first epoch is called"
    hint = "callbacks come last: a checkpoint saves what the next epoch begins with"
    expect.equal(got, (1, 3, 1, 1, 0.5), call=call, hint=hint)
    names = sorted(trainer.history[0])
    expect.equal(names, ["accuracy", "epoch", "loss", "lr", "val_accuracy", "val_loss"], call="the names in that row")


@task("11.6")
def test_fit_calls_callbacks_until_one_stops_it(student, rng):
    """Callbacks run after each epoch's row is added; once one stops training, no more epochs run, even in a new fit."""
    loader, stopping = make_batch_list(student, *draw_examples(rng, 6), 3), student.training.EarlyStopping
    for callbacks, epochs in (
        ([stopping("lr", patience=1)], 2),
        ([stopping("epoch", 1, largest=True)], 6),
        ([stopping("lr", patience=4), stopping("lr", patience=3)], 4),
        ([stopping("val_loss", patience=0)], 1),
    ):
        net = build_small_network(student)
        trainer = student.training.Trainer(
            net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5), callbacks=callbacks
        )
        trainer.fit(loader, 6, loader)
        names = [f"EarlyStopping({c.monitor!r}, {c.patience})" for c in callbacks]
        call = f"the number of epochs of fit(loader, 6, loader) with callbacks {', '.join(names)}"
        expect.equal(trainer.epoch, epochs, call=call, hint="the row comes first, then the callbacks")
        if epochs < 6:
            trainer.fit(loader, 9, loader)
            expect.equal(trainer.epoch, epochs, call=f"{call}, then fit(loader, 9, loader)", hint="it is still stopped")
    trainer.stopped = None
    trainer.fit(loader, 2, loader)
    expect.equal(trainer.epoch, 2, call="trainer.stopped = None; trainer.fit(loader, 2, loader); trainer.epoch")


# 11.7: finding the state


@task("11.7")
def test_slots_are_all_that_further_epochs_depend_on(student, rng):
    """The state holds counters, parameters, running statistics, and the generators of dropout and loader, by name."""
    world = build_training_run(student, rng)
    world.trainer.fit(world.loader, 1)
    state = world.trainer.state_dict()
    norm, drop, inner = world.network[1], world.network[5], world.network[6][0]
    arrays = {f"parameter.{i}": p for i, p in enumerate(world.network.parameters())}
    arrays |= {"buffer.0": norm.running_mean, "buffer.1": norm.running_var}
    generators = {"layer.6.rng": drop.rng, "layer.8.rng": inner.rng, "loader.rng": world.loader.rng}
    parts = {"optimizer": world.trainer.optimizer, "scheduler": world.trainer.scheduler}
    own = {f"{name}.{key}" for name, part in parts.items() for key in part.state_dict()}
    names = {"epoch", "step", "history", "stopped", *arrays, *generators, *own}
    expect_names(state, names, call="the names in trainer.state_dict()")
    for name, value in arrays.items():
        expect.array(state[name], values(value), rtol=0, atol=0, dtype="float32", call=f"state_dict()[{name!r}]")
    for name, generator in generators.items():
        expect.equal(state[name], generator.bit_generator.state, call=f"state_dict()[{name!r}]", hint="bit_generator")
    for name, part in parts.items():
        for key, value in part.state_dict().items():
            expect.equal(state[f"{name}.{key}"], value, call=f"state_dict()[{name + '.' + key!r}]")
    counters = {name: state[name] for name in ("epoch", "step", "stopped")}
    expect.equal(counters, {"epoch": 1, "step": 4, "stopped": None}, call="epoch, step and stopped in state_dict()")
    expect.equal(len(state["history"]), 1, call='len(state_dict()["history"])')


@task("11.7")
def test_state_is_a_copy(student, rng):
    """A state stays as it was while training continues."""
    world = build_training_run(student, rng)
    world.trainer.fit(world.loader, 1)
    state, before = hold_trainer_state(student, world.trainer)
    world.trainer.fit(world.loader, 2)
    world.trainer.history[0]["loss"] = 0.0
    expect_state_unchanged(
        state, before, call="the entries of a state_dict that changed an epoch later", hint="copy everything"
    )


@task("11.7")
def test_what_a_network_lacks_is_not_saved(student, rng):
    """Without dropout, batch normalisation, a scheduler or a loader generator, the state contains no such names."""
    net = build_small_network(student)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    names = {"epoch", "step", "history", "stopped", *(f"parameter.{i}" for i in range(4))}
    names |= {f"optimizer.{key}" for key in trainer.optimizer.state_dict()}
    expect_names(trainer.state_dict(), names, call="the names in state_dict() before fit")
    trainer.fit(make_batch_list(student, *draw_examples(rng, 4), 2), 1)
    call = "the names in state_dict() after fit with a list of batches"
    expect_names(trainer.state_dict(), names, call=call)


def expect_names(state, wanted, *, call):
    """Check the names in a state, and show only those that are missing or unknown."""
    found = {str(name) for name in state}
    groups = {"missing": sorted(wanted - found), "unknown": sorted(found - wanted)}
    got = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items() if names)
    expect.that(found == wanted, call=call, got=got, expected=f"{len(wanted)} names, none missing and none unknown")


# 11.8: resuming from it


@task("11.8")
def test_a_state_resumes_bit_for_bit(student, rng):
    """Two epochs, then two more in a new trainer that loads the state, exactly equal four uninterrupted epochs."""
    seed = int(rng.integers(1000))
    whole, first, second = (build_training_run(student, np.random.default_rng(seed)) for _ in range(3))
    whole.trainer.fit(whole.loader, 4, whole.held_out)
    first.trainer.fit(first.loader, 2, first.held_out)
    parameters = second.network.parameters()
    state, before = hold_trainer_state(student, first.trainer)
    second.trainer.load_state_dict(state, second.loader)
    first.trainer.fit(first.loader, 3, first.held_out)  # this must not affect the loaded copy
    second.trainer.fit(second.loader, 4, second.held_out)
    expect_same_state(whole, second, "2 epochs, load_state_dict in a new trainer, and 2 more")
    call = "the entries of the loaded state that changed two epochs later"
    expect_state_unchanged(state, before, call=call, hint="load copies of the arrays, because training changes them")
    values_now = [values(p) for p in parameters]
    for parameter, value in zip(second.network.parameters(), values_now, strict=True):
        expect.array(value, values(parameter), rtol=0, atol=0, call="the tensor that was a parameter before loading")


@task("11.8")
def test_a_state_can_be_loaded_to_evaluate(student, rng):
    """Without a loader, no loader generator is restored, and evaluate returns the same figures as before."""
    seed = int(rng.integers(1000))
    first, second = (build_training_run(student, np.random.default_rng(seed)) for _ in range(2))
    first.trainer.fit(first.loader, 1)
    state = first.trainer.state_dict()
    second.trainer.load_state_dict(state)
    got, wanted = (dict(world.trainer.evaluate(world.held_out)) for world in (second, first))
    expect.equal(got, wanted, call="evaluate after load_state_dict(state) without a loader")
    kept = "loader.rng" in state
    expect.that(kept, call="state after load_state_dict(state)", got="loader.rng is gone", expected="unchanged")


@task("11.8")
def test_a_state_that_does_not_fit_is_refused(student, rng):
    """Names, shapes and generators that differ raise a ValueError that lists them, and nothing changes."""
    world = build_training_run(student, rng)
    world.trainer.fit(world.loader, 1)
    good = world.trainer.state_dict()
    before = json.dumps(convert_arrays_to_lists(good), sort_keys=True)
    world.trainer.fit(world.loader, 2)
    now = json.dumps(convert_arrays_to_lists(world.trainer.state_dict()), sort_keys=True)
    last = f"parameter.{len(world.network.parameters()) - 1}"
    other = {"bit_generator": "MT19937", "state": {"key": [1] * 624, "pos": 3}}
    momentum = next(name for name, value in good.items() if name.startswith("optimizer.") and np.ndim(value) == 4)
    for what, state, mention in (
        ("a parameter is missing", omit_entry(good, last), last),
        ("the epoch is missing", omit_entry(good, "epoch"), "epoch"),
        ("the history is missing", omit_entry(good, "history"), "history"),
        ("a generator is missing", omit_entry(good, "layer.8.rng"), "layer.8.rng"),
        ("the scheduler is missing", omit_entry(good, "scheduler.count"), "scheduler.count"),
        ("there is an extra parameter", good | {"parameter.99": np.ones(3)}, "parameter.99"),
        ("a parameter has the wrong shape", good | {last: np.ones(99, "float32")}, "(99,)"),
        ("a running variance has the wrong shape", good | {"buffer.1": np.ones(9)}, "buffer.1"),
        ("a velocity has the wrong shape", good | {momentum: np.ones(2)}, momentum),
        ("a generator is of a different type", good | {"loader.rng": other}, ""),
        ("a generator is incomplete", good | {"layer.8.rng": {"bit_generator": "PCG64"}}, ""),
        ("a generator is a number", good | {"layer.6.rng": 5}, ""),
        ("a number is text", good | {"step": "many"}, "step"),
        ("it is empty", {}, "epoch"),
    ):
        call = f"trainer.load_state_dict(state, loader): {what}"
        with expect.raises(ValueError, mentions=(mention,), call=call):
            world.trainer.load_state_dict(state, world.loader)
        unchanged = json.dumps(convert_arrays_to_lists(world.trainer.state_dict()), sort_keys=True) == now
        hint = "keep the previous state, and restore it"
        expect.that(unchanged, call=f"state_dict() after {call}", got="changed", expected="as before", hint=hint)
    world.trainer.load_state_dict(good, world.loader)
    loaded = json.dumps(convert_arrays_to_lists(world.trainer.state_dict()), sort_keys=True) == before
    expect.that(loaded, call="state_dict() after load_state_dict(good)", got="another state", expected="the good state")


# 11.9: writing a checkpoint


@task("11.9")
def test_a_checkpoint_is_a_zip_of_arrays_and_json(student, rng):
    """Any program can read a checkpoint: name.npy is an unpickled array in its dtype, and state.json holds the rest."""
    path, arrays = student.folder() / "a.ckpt", make_checkpoint_arrays(rng)
    others = {"epoch": 3, "lr": 0.1, "stopped": None, "history": [{"loss": 0.25}], "rng": {"state": 2**100 + 1}}
    student.training.write_checkpoint(path, arrays | others)
    call = "write_checkpoint(path, state)"
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        names = sorted(archive.namelist())
        expect.equal(names, sorted(["state.json", *(f"{name}.npy" for name in arrays)]), call=f"the members of {call}")
        packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        expect.equal(
            packed, [], call=f"the compressed members of {call}", hint="weights hardly compress: store them as they are"
        )
        expect.equal(json.loads(archive.read("state.json")), others, call=f"state.json of {call}")
        for name, array in arrays.items():
            got = np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
            expect.equal(got, array, call=f"{name}.npy of {call}", hint="np.lib.format.write_array")


@task("11.9")
def test_generators_of_every_kind_can_be_written(student):
    """Arrays in the state of a generator, such as Philox's, become lists."""
    path = student.folder() / "a.ckpt"
    state = {"rng": {"bit_generator": "Philox", "state": {"key": np.arange(2, dtype="uint64")}}}
    student.training.write_checkpoint(path, state)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        got = json.loads(archive.read("state.json"))
    call = "state.json of a state with an array in a dict"
    expect.equal(got, {"rng": {"bit_generator": "Philox", "state": {"key": [0, 1]}}}, call=call)


@task("11.9")
def test_a_checkpoint_replaces_the_old_one_in_one_step(student):
    """An earlier file is replaced, not overwritten, and no other file is left; the path may be a string."""
    folder = student.folder()
    path = folder / "a.ckpt"
    for path_given in (path, path.as_posix()):
        path.write_bytes(b"old")
        with_old = path.open("rb")
        student.training.write_checkpoint(path_given, {"a": np.arange(3), "epoch": 1})
        hint = "first write another file, and then let it replace the old one"
        old = with_old.read()
        with_old.close()
        expect.equal(old, b"old", call="the bytes read by a program that had opened the old file", hint=hint)
        names = [file.name for file in folder.iterdir()]
        expect.equal(names, ["a.ckpt"], call="the files in the folder after write_checkpoint")
        fine = zipfile.is_zipfile(io.BytesIO(path.read_bytes()))
        expect.that(fine, call="the file after write_checkpoint", got="not a zip archive", expected="the new one")


@task("11.9")
def test_what_cannot_be_written_leaves_the_file_alone(student):
    """If writing fails, the error is raised, the earlier file stays as it was, and no other file is left."""
    folder = student.folder()
    path = folder / "a.ckpt"
    path.write_bytes(b"old")
    state = {"a": np.arange(3), "z": student.rng(1)}  # JSON cannot hold a generator
    with expect.raises(TypeError, call='write_checkpoint(path, {"a": array, "z": a generator})'):
        student.training.write_checkpoint(path, state)
    expect.equal(path.read_bytes(), b"old", call="the file after write_checkpoint has failed")
    names = [file.name for file in folder.iterdir()]
    expect.equal(names, ["a.ckpt"], call="the files in the folder", hint="remove the temporary file in `finally`")
    with expect.raises(FileNotFoundError, call="write_checkpoint to a folder that does not exist"):
        student.training.write_checkpoint(folder / "none" / "a.ckpt", {"epoch": 1})


@task("11.9")
def test_objects_are_not_written(student):
    """An array of objects, which only a pickle could hold, raises a ValueError, and the earlier file stays."""
    folder = student.folder()
    path = folder / "a.ckpt"
    path.write_bytes(b"old")
    state = {"epoch": 1, "a": student.hold_result(student.training.np.empty, 2, "object")}
    hint = "np.lib.format.write_array(member, array, allow_pickle=False)"
    with expect.raises(ValueError, call="write_checkpoint(path, {'a': an array of objects})", hint=hint):
        student.training.write_checkpoint(path, state)
    expect.equal(path.read_bytes(), b"old", call="the file after the ValueError")
    expect.equal([file.name for file in folder.iterdir()], ["a.ckpt"], call="the files in the folder")


@task("11.9")
def test_a_checkpoint_is_on_the_disk_before_it_replaces_the_old_one(student):
    """The new file is synced while the old one is still there; if that fails, the old file stays."""
    folder, os = student.folder(), student.training.os
    path = folder / "a.ckpt"
    path.write_bytes(b"old")
    syncs = {name: getattr(os, name) for name in ("fsync", "fdatasync") if hasattr(os, name)}
    call = "write_checkpoint(path, state) where os.fsync raises a TypeError"
    hint = "flush, os.fsync(file.fileno()), and only then replace: a power cut may leave a name without its bytes"
    try:
        for name in syncs:
            setattr(os, name, student.training.Path)  # a TypeError for every argument of fsync
        with expect.raises(TypeError, call=call, hint=hint):
            student.training.write_checkpoint(path, {"a": np.arange(3), "epoch": 1})
    finally:
        for name, sync in syncs.items():
            setattr(os, name, sync)
    expect.equal(path.read_bytes(), b"old", call=f"the file after {call}", hint=hint)
    expect.equal([file.name for file in folder.iterdir()], ["a.ckpt"], call=f"the files in the folder after {call}")


# 11.10: reading a checkpoint


@task("11.10")
def test_a_checkpoint_is_read_as_it_was_written(student, rng):
    """Arrays come back writeable, with the same shape, dtype and bits; everything else is as it was."""
    path, arrays = student.folder() / "a.ckpt", make_checkpoint_arrays(rng)
    state = arrays | {"epoch": 3, "lr": 0.1 + 0.2, "history": [{"loss": float("inf")}], "rng": {"state": 2**100 + 1}}
    student.training.write_checkpoint(path, state)
    for path_given in (path, path.as_posix()):
        got = student.training.read_checkpoint(path_given)
        expect.equal(sorted(got), sorted(state), call="the names in read_checkpoint(path)")
        for name, value in state.items():
            expect.equal(got[name], value, call=f"read_checkpoint(path)[{name!r}]", hint="the very same bits")
        changeable = all(got[name].flags.writeable for name in arrays)
        expect.that(changeable, call="the arrays of read_checkpoint(path)", got="read-only", expected="writeable")


@task("11.10")
def test_damage_is_noticed(student, rng):
    """A damaged file is not changed, and an error that names the file is raised unless its state is still intact."""
    path = student.folder() / "precious.ckpt"
    state = {"weight": rng.normal(size=(4, 5)).astype("float32"), "epoch": 3}
    student.training.write_checkpoint(path, state)
    data = path.read_bytes()
    refused = 0
    for number, content in enumerate(generate_damaged_files(data, rng)):
        path.write_bytes(content)
        call = f"read_checkpoint of a damaged file, number {number}"
        try:
            got = student.training.read_checkpoint(path)
        except Exception as error:
            with expect.raises(ValueError, mentions=("precious.ckpt",), call=call):
                raise error
            refused += 1
        else:
            for name, value in state.items():  # some bytes, such as a member's date, do not matter
                expect.equal(got[name], value, call=f"{call}: {name}", hint="compare checksums: ZipFile.read does")
        expect.equal(path.read_bytes(), content, call=f"the file after {call}", hint="leave it as it is")
    expect.that(refused > (number + 1) // 2, call=f"{number + 1} damaged files", got=refused, expected="most refused")


def generate_damaged_files(data, rng):
    """Yield a file cut off at six positions, and then with one bit changed at each of 120 positions."""
    for end in (0, 1, 10, len(data) // 2, len(data) - 30, len(data) - 1):
        yield data[:end]
    for share in np.linspace(0, 1, 120):
        place = int(share * (len(data) - 1))
        yield data[:place] + (data[place] ^ 1 << int(rng.integers(8))).to_bytes(1, "big") + data[place + 1 :]


@task("11.10")
def test_other_files_are_refused(student):
    """Other files, archives and pickled objects raise a ValueError; a missing file raises an OSError."""
    path = student.folder() / "some.ckpt"
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    good = io.BytesIO()
    np.save(good, np.arange(3))
    for what, content in (
        ("text", b"loss 0.5, accuracy 0.8"),
        ("an archive without state.json", build_zip_archive({"a.npy": good.getvalue()})),
        ("state.json that is not JSON", build_zip_archive({"state.json": b"{epoch: 3"})),
        ("state.json that is a number", build_zip_archive({"state.json": b"3"})),
        ("state.json with deeply nested brackets", build_zip_archive({"state.json": b"[" * 100_000})),
        ("a pickled object", build_zip_archive({"state.json": b"{}", "a.npy": objects.getvalue()})),
        ("an array cut short", build_zip_archive({"state.json": b"{}", "a.npy": good.getvalue()[:-3]})),
    ):
        path.write_bytes(content)
        with expect.raises(ValueError, mentions=("some.ckpt",), call=f"read_checkpoint of {what}"):
            student.training.read_checkpoint(path)
        expect.equal(path.read_bytes(), content, call=f"the file after read_checkpoint of {what}")
    path.write_bytes(build_zip_archive({"state.json": b'{"epoch": 3}', "a.npy": good.getvalue()}))
    got = student.training.read_checkpoint(path)
    expect.equal(got, {"epoch": 3, "a": np.arange(3)}, call="read_checkpoint of an archive that another program wrote")
    path.unlink()
    with expect.raises(FileNotFoundError, call="read_checkpoint of a file that does not exist"):
        student.training.read_checkpoint(path)


# 11.11: checkpoints while training


@task("11.11")
def test_training_resumes_from_a_file_bit_for_bit(student, rng):
    """Two epochs, a checkpoint, a restart and two more epochs equal four, with augmentation, dropout and momentum."""
    seed, folder = int(rng.integers(1000)), student.folder()
    path = folder / "run.ckpt"
    whole = build_training_run(student, np.random.default_rng(seed))
    whole.trainer.fit(whole.loader, 4, whole.held_out)
    first = build_training_run(student, np.random.default_rng(seed), callbacks=[student.training.Checkpoint(path)])
    first.trainer.fit(first.loader, 2, first.held_out)
    hint, written = "without a monitor, write after every epoch", path.exists()
    expect.that(written, call="run.ckpt after 2 epochs with Checkpoint(path)", got="no file", expected="one", hint=hint)
    second = build_training_run(student, np.random.default_rng(seed), callbacks=[student.training.Checkpoint(path)])
    second.trainer.load_state_dict(student.training.read_checkpoint(path), second.loader)
    second.trainer.fit(second.loader, 4, second.held_out)
    expect_same_state(whole, second, "2 epochs, a checkpoint, a new trainer, and 2 more")
    names = [file.name for file in folder.iterdir()]
    expect.equal(names, ["run.ckpt"], call="the files in the folder of the checkpoint")
    epoch = student.training.read_checkpoint(path)["epoch"]
    expect.equal(epoch, 4, call="the epoch in the checkpoint", hint="write after every epoch")


@task("11.11")
def test_checkpoints_of_the_best_epoch(student):
    """With a monitor, a checkpoint is written only after the best epoch so far; NaN is never the best."""
    nan = float("nan")
    for curve, largest, kept in (
        ([3.0, 2.0, 2.5], False, [1, 2, 2]),
        ([0.5, 0.5, 0.7, nan], True, [1, 1, 3, 3]),
    ):
        path, net = student.folder() / "best.ckpt", build_small_network(student)
        checkpoint = student.training.Checkpoint(path, "figure", largest)
        trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
        for epoch, wanted in enumerate(kept, start=1):
            trainer.epoch, trainer.history = epoch, [{"figure": value} for value in curve[:epoch]]
            checkpoint(trainer)
            call, written = f'Checkpoint(path, "figure", largest={largest}) after {curve[:epoch]}', path.exists()
            hint = "write if the last epoch is the best so far, which the first epoch always is"
            expect.that(written, call=call, got="no file", expected="a file", hint=hint)
            got = student.training.read_checkpoint(path)["epoch"]
            hint = f"the best of these is number {wanted}, the {'largest' if largest else 'smallest'}"
            expect.equal(got, wanted, call=f"the epoch in {call}", hint=hint)


@task("11.11")
def test_a_resumed_run_knows_its_best_epoch(student):
    """A new Checkpoint reads the trainer's history, and does not overwrite the file of an earlier, better epoch."""
    for curve, largest, writes in (
        ([1.0, 2.0, 1.5], False, False),
        ([1.0, 2.0, 0.5], False, True),
        ([0.9, 0.5, 0.7], True, False),
        ([0.9, 0.5, 0.95], True, True),
    ):
        path, net = student.folder() / "best.ckpt", build_small_network(student)
        path.write_bytes(b"better")
        trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
        trainer.epoch, trainer.history = 3, [{"figure": value} for value in curve]
        student.training.Checkpoint(path, "figure", largest)(trainer)
        call = f'a new Checkpoint(path, "figure", largest={largest}), first called after {curve}'
        hint = "do not store a best value: use since_best on the trainer's history, which a resumed run has"
        written = path.read_bytes() != b"better"
        outcomes = ("leaves the file unchanged", "writes")
        expect.that(written == writes, call=call, got=outcomes[written], expected=outcomes[writes], hint=hint)


@task("11.11")
def test_a_stopped_run_stays_stopped(student, rng):
    """If the checkpoint is the last callback, it saves why training was stopped, and a resumed run is stopped."""
    path, seed = student.folder() / "run.ckpt", int(rng.integers(1000))
    callbacks = [student.training.EarlyStopping("lr", patience=1), student.training.Checkpoint(path)]
    first = build_training_run(student, np.random.default_rng(seed), callbacks=callbacks)
    first.trainer.fit(first.loader, 4)  # in the first epochs of a cycle, lr rises
    again = build_training_run(student, np.random.default_rng(seed))
    again.trainer.load_state_dict(student.training.read_checkpoint(path), again.loader)
    again.trainer.fit(again.loader, 4)
    call = "the epochs of a run that early stopping ended, and of a run resumed from its checkpoint"
    expect.equal([first.trainer.epoch, again.trainer.epoch], [2, 2], call=call, hint="callbacks are called in order")
    expect.equal(again.trainer.stopped, first.trainer.stopped, call="trainer.stopped after the resumed fit")


# 11.12: a progress bar


@task("11.12")
def test_the_bar_is_redrawn_in_one_line(student):
    """With redraw, each step overwrites the entire previous line, and the last step ends the line."""
    path = student.folder() / "screen.txt"
    stream = path.open("w")
    bar = student.training.ProgressBar(stream, redraw=True)
    wanted = ""
    for step, loss, line in (
        (1, 2.302585, "\r[##------------------] 1/8 loss 2.303 accuracy 0.125"),
        (2, 2.0, "\r[#####---------------] 2/8 loss 2 accuracy 0.125    "),
        (3, 1.5, "\r[#######-------------] 3/8 loss 1.5 accuracy 0.125"),
        (8, 0.000012345, "\r[####################] 8/8 loss 1.234e-05 accuracy 0.125\n"),
        (1, 1.0, "\r[##------------------] 1/8 loss 1 accuracy 0.125"),
    ):
        bar(step, 8, loss=loss, accuracy=0.125)
        wanted += line
        shown = path.read_bytes().decode()
        if step == 1 and loss == 1.0:  # the bar may or may not pad with spaces after a line that has ended
            shown = shown.rstrip(" ")
        hint = explain_bar(shown[len(wanted) - len(line) :], line)
        expect.equal(shown, wanted, call=f"the stream's contents after step {step} of 8", hint=hint)
    bar(int("1000"), int("1000"), loss=1.0)
    ended = path.read_bytes().endswith(b"\n")
    expect.that(ended, call="the stream after step 1000 of 1000", got="no line break at the end", expected='"\\n"')
    stream.close()


@task("11.12")
def test_in_a_file_a_tenth_of_the_steps_has_a_line(student):
    """Without redrawing, as in a file, ten plain lines are written, one for each tenth of the steps."""
    for steps, wanted in ((50, range(5, 51, 5)), (7, range(1, 8)), (25, (3, 5, 8, 10, 13, 15, 18, 20, 23, 25))):
        path = student.folder() / "log.txt"
        stream = path.open("w")
        bar = student.training.ProgressBar(stream)
        for number in range(1, 1 + steps):
            bar(number, steps, loss=float(100 * (steps - number)))
        lines = path.read_bytes().decode().split("\n")
        stream.close()
        full = [20 * step // steps for step in wanted]
        texts = [f"{step}/{steps} loss {float(100 * (steps - step)):.4g}" for step in wanted]
        bars = [f"[{'#' * f}{'-' * (20 - f)}] {text}" for f, text in zip(full, texts, strict=True)]
        written = [line.partition("] ")[2].partition("/")[0].strip() for line in lines[:-1]]
        hint = f"a line for each step that reaches a new tenth of {steps}: {', '.join(map(str, wanted))}"
        if written == [str(step) for step in wanted]:
            hint = next((explain_bar(got, line) for got, line in zip(lines, bars, strict=False) if got != line), None)
        hint = 'write no "\\r" or padding' if "\r" in "".join(lines) else hint
        expect.equal(lines, [*bars, ""], call=f"the lines of {steps} steps in a file", hint=hint)


def explain_bar(got, wanted):
    """Return a hint for the first part of a progress line that is wrong."""
    (bar, _, text), (its_bar, _, its_text) = got.partition("]"), wanted.partition("]")
    if not got:
        return "write to the stream, and flush it after each step"
    if bar.lstrip("\r") != its_bar.lstrip("\r"):
        return "20 · step // steps of the 20 characters are #, and the others are -"
    if bar != its_bar:
        return 'each redrawn line begins with "\\r"'
    if text.split() != its_text.split() or text[:1] != " ":
        return "a space, step/steps, and then each figure's name and its value with four significant digits"
    if text.rstrip("\n") != its_text.rstrip("\n"):
        return "as many spaces as the previous line was longer: remember the length of the line you redraw"
    return 'only the last step ends with "\\n"'


@task("11.12")
def test_the_bar_goes_with_fit(student, rng):
    """`fit` accepts the bar as its progress function; without a stream the bar writes to standard output."""
    path, net = student.folder() / "log.txt", build_small_network(student)
    stream = path.open("w")
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.5))
    loader = make_batch_list(student, *draw_examples(rng, 6), 3)
    trainer.fit(loader, 2, progress=student.training.ProgressBar(stream))
    lines = path.read_bytes().decode().splitlines()
    stream.close()
    expect.equal(
        [line.split()[1] for line in lines], ["1/4", "2/4", "3/4", "4/4"], call="steps in the lines of 2 epochs"
    )
    trainer.fit(loader, 3, progress=student.training.ProgressBar())


# 11.13 and 11.14: the recipe of milestone 3


@task("11.13")
def test_recipe_builds_from_the_generator_alone(student):
    """The same seed builds the same network, and a different seed builds a different one."""
    recipes.check_build_is_seeded(student, RECIPE)


@task("11.13")
def test_recipe_predicts_probabilities(student, rng):
    """The recipe's predict returns ten probabilities for each image, whatever other images are passed with it."""
    recipes.check_probabilities(student, rng, RECIPE)


@task("11.13")
def test_recipe_shows_its_feature_maps(student, rng):
    """`feature_maps` returns a map for each kernel of the first convolution, and different maps for another image."""
    recipes.check_feature_maps(student, rng, RECIPE)


@task("11.13")
def test_recipe_is_at_chance_before_training(student, rng):
    """A fresh network is not confident: its mean loss is near that of guessing, ln 10."""
    recipes.check_untrained_loss(student, rng, RECIPE)


@task("11.14")
def test_recipe_trains(student, rng):
    """Training on a few dark and bright images lowers the loss, changes every parameter, and reports its progress."""
    recipes.check_loss_falls(student, rng, RECIPE, 32)


# What the tests use


def make_tensors(student, *arrays):
    """Return tensors of these arrays in the student's process."""
    return tuple(student.tensor.Tensor(np.array(array)) for array in arrays)


def draw_examples(rng, n, *, images=False):
    """Return n random inputs, float32, and their classes, from 0 to 2."""
    shape = (n, 2, 6, 6) if images else (n, 5)
    return rng.normal(size=shape).astype("float32"), rng.integers(0, 3, n)


def make_batch_list(student, x, y, size):
    """Return the simplest loader, a list of pairs (inputs, targets)."""
    return [make_tensors(student, x[k : k + size], y[k : k + size]) for k in range(0, len(x), size)]


def make_sgd(student, net, lr, **options):
    """Return an SGD optimiser for a network."""
    return student.optimizers.SGD(net.parameters(), lr, **options)


def build_small_network(student, *, dropout=0.0, norm=False):
    """Return a small network with fixed weights: Dense, ReLU, optional Dropout, Dense (with `norm`, one for images)."""
    first = student.layers.Dense(5, 8, rng=student.rng(1))
    middle = [student.activations.ReLU()]
    if norm:
        first = student.spatial.BatchNorm2d(2)
        middle += [student.spatial.Flatten()]
    if dropout:
        middle += [student.dense.Dropout(dropout, rng=student.rng(2))]
    return student.layers.Sequential(first, *middle, student.layers.Dense(72 if norm else 8, 3, rng=student.rng(3)))


def build_training_run(student, rng, callbacks=()):
    """Return a complete training run on images, with every kind of random component, that depends only on `rng`."""
    layers, spatial, dense, data = student.layers, student.spatial, student.dense, student.dataloader
    seeds = [int(seed) for seed in rng.integers(1000, size=6)]
    x, y = draw_examples(rng, 22, images=True)
    held_out = draw_examples(rng, 9, images=True)
    net = layers.Sequential(
        spatial.Conv2d(2, 3, 3, padding=1, bias=False, rng=student.rng(seeds[0])),
        spatial.BatchNorm2d(3),
        student.activations.ReLU(),
        spatial.MaxPool2d(2),
        spatial.Flatten(),
        dense.Dropout(0.2, rng=student.rng(seeds[1])),
        layers.Sequential(
            dense.Dropout(0.2, rng=student.rng(seeds[2])), layers.Dense(27, 3, rng=student.rng(seeds[3]))
        ),
    )
    loader = data.DataLoader(
        data.ArrayDataset(x, y, data.RandomHorizontalFlip()), 6, shuffle=True, rng=student.rng(seeds[4])
    )
    optimizer = make_sgd(student, net, 0.05, momentum=0.9, weight_decay=0.01)
    scheduler = student.optimizers.OneCycleLR(optimizer, 0.1, total_steps=20)
    trainer = student.training.Trainer(
        net, dense.CrossEntropyLoss(), optimizer, scheduler=scheduler, max_norm=1.0, callbacks=callbacks
    )
    return SimpleNamespace(network=net, loader=loader, trainer=trainer, held_out=make_batch_list(student, *held_out, 4))


def expect_same_state(one, other, what):
    """Check that both runs have reached the same state, to the last bit."""
    wanted, got = (convert_arrays_to_lists(world.trainer.state_dict()) for world in (one, other))
    expect.equal(sorted(got), sorted(wanted), call=f"the names in state_dict() after {what}")
    for name, value in wanted.items():
        call, hint = (
            f"state_dict()[{name!r}] after {what}",
            "must be equal to the last bit: what was not saved, or not loaded?",
        )
        expect.equal(got[name], value, call=call, hint=hint)


def expect_same_parameters(one, other, *, call, hint, rtol, atol, traps=None):
    """Check that both networks have the same parameters. Each trap is a hint for a list of wrong parameters."""
    for place, (got, wanted) in enumerate(zip(one.parameters(), other.parameters(), strict=True)):
        its_call, its_traps = f"parameter {place} after {call}", {words: p[place] for words, p in (traps or {}).items()}
        expect.array(got, values(wanted), rtol=rtol, atol=atol, call=its_call, hint=hint, traps=its_traps)


def compute_cross_entropy(logits, y):
    """Return the mean cross-entropy, computed in float64."""
    logits = logits.astype("float64")
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return float(-np.log((powers / powers.sum(axis=1, keepdims=True))[np.arange(len(y)), y]).mean())


def call_callback(student, callback, rows):
    """Return `trainer.stopped` after calling a callback with a trainer that has this history."""
    net = build_small_network(student)
    trainer = student.training.Trainer(net, student.dense.CrossEntropyLoss(), make_sgd(student, net, 0.1))
    trainer.history = rows
    callback(trainer)
    return trainer.stopped


def make_checkpoint_arrays(rng):
    """Return arrays of several shapes and dtypes."""
    return {
        "parameter.0": rng.normal(size=(3, 4)).astype("float32"),
        "buffer.0": rng.normal(size=5),
        "optimizer.0.steps": rng.integers(0, 9, (2, 2)),
        "scalar": np.array(rng.normal(), "float32"),
        "none": np.zeros((0, 3), "float32"),
        "turned": np.asfortranarray(rng.normal(size=(3, 4))),
    }


def hold_trainer_state(student, trainer):
    """Return a trainer's state, which stays in the student's process, and its current entries as text."""
    state = student.hold_result(trainer.state_dict)
    return state, format_state_entries(state, trainer.state_dict())


def expect_state_unchanged(state, before, *, call, hint):
    """Check that a held state has the same entries as before."""
    after = format_state_entries(state, before)
    expect.equal([name for name in before if after[name] != before[name]], [], call=call, hint=hint)


def format_state_entries(state, names):
    """Return these entries of a state as text, keyed by name."""
    return {name: json.dumps(convert_arrays_to_lists({name: state[name]})) for name in names}


def convert_arrays_to_lists(state):
    """Return a state with lists instead of arrays, so that it can be compared as text."""
    for name, value in state.items():
        held = isinstance(value, np.ndarray | int | float | str | list | dict | None)
        wanted = "an array, a number or what JSON can hold"
        expect.that(held, call=f"state_dict()[{name!r}]", got=value, expected=wanted, hint="a tensor's `data`")
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in state.items()}


def omit_entry(state, name):
    """Return the state without one name."""
    return {key: value for key, value in state.items() if key != name}


def build_zip_archive(members):
    """Return the bytes of a zip archive with these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()
