"""The tests of module 10: steps, SGD, Adam, AdamW, clipping, state and schedules, compared with PyTorch's values.

reference.json records how PyTorch's own optimisers move the same parameters, and how the file was created.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from grading.testing import expect, task, values

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
STATEFUL = {"SGD": {"momentum": 0.9}, "Adam": {}, "AdamW": {}}


def list_reference_runs(*optimizers, scheduler=None, clipped=False):
    """Return the runs in reference.json for a task, as pytest parameters."""
    return [
        pytest.param(run, id=run["name"])
        for run in REFERENCE["runs"]
        if run["optimizer"] in optimizers
        and run.get("scheduler", [None])[0] == scheduler
        and ("max_norm" in run) == clipped
    ]


# 10.1: the step, and clearing gradients


@task("10.1")
def test_parameters_are_marked(student):
    """An optimiser marks its parameters, and no other tensor, as requiring a gradient."""
    first, second, other = (make_tensor(student, [1.0]) for _ in range(3))
    student.optimizers.Optimizer([first, second], lr=0.1).zero_grad()
    marked = [t.requires_grad for t in (first, second, other)]
    expect.equal(marked, [True, True, False], call="requires_grad of two parameters and of another tensor")


@task("10.1")
def test_step_goes_against_what_update_returns(student, rng):
    """A step subtracts lr times the update from each parameter, which stays the same tensor with the same dtype."""
    for dtype in ("float32", "float64"):
        starts = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (2,), ())]
        grads = [rng.normal(size=start.shape).astype(dtype) for start in starts]
        parameters = [make_tensor(student, start) for start in starts]
        optimizer = student.optimizers.Optimizer(parameters, lr=0.25)
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = make_tensor(student, grad)
        optimizer.step()
        for parameter, start, grad in zip(parameters, starts, grads, strict=True):
            call = f"a parameter of shape {start.shape} after Optimizer(parameters, lr=0.25).step()"
            traps = {"the parameter did not change: change `parameter.data`; `parameter = …` makes a new tensor": start}
            wanted, hint = start - 0.25 * grad, "value - lr · update"
            expect.array(parameter, wanted, dtype=dtype, call=call, hint=hint, traps=traps)
            expect.array(parameter.grad, grad, rtol=0, atol=0, dtype=dtype, call="its gradient after the step")


@task("10.1")
def test_step_counts_where_there_is_a_gradient(student):
    """The step count in a parameter's state includes only the steps in which it had a gradient."""
    often, once, never = (make_tensor(student, [1.0]) for _ in range(3))
    optimizer = student.optimizers.Optimizer([often, once, never], lr=0.1)
    for step in range(3):
        often.grad = make_tensor(student, [1.0])
        once.grad = make_tensor(student, [1.0]) if step == 1 else None
        optimizer.step()
    got = [state["step"] for state in optimizer.state]
    call = 'state["step"] of three parameters after three steps, with gradients in all, in one and in none of them'
    expect.equal(got, [3, 1, 0], call=call, hint="count a step only where you move the parameter")


@task("10.1")
def test_step_computes_in_float32_at_least(student):
    """A float16 parameter is moved in float32 and then rounded, so large intermediate values are not lost."""
    parameter = make_tensor(student, np.array([6e4, 1.0], "float16"))
    optimizer = student.optimizers.Optimizer([parameter], lr=2.0)
    parameter.grad = make_tensor(student, np.array([6e4, 1.0], "float16"))
    optimizer.step()
    call = "[6e4, 1], float16, after Optimizer(parameters, lr=2).step() with the gradient [6e4, 1]"
    expect.array(parameter, np.array([-6e4, -1.0]), dtype="float16", rtol=1e-3, call=call, hint="at_least_float32")


@task("10.1")
def test_lr_may_change_between_steps(student, rng):
    """An lr that is set between two steps takes effect in the next one, which schedules rely on."""
    start, grad = rng.normal(size=5).astype("float32"), rng.normal(size=5).astype("float32")
    parameter = make_tensor(student, start)
    optimizer = student.optimizers.Optimizer([parameter], lr=0.5)
    for lr in (0.5, 0.125):
        optimizer.lr = lr
        parameter.grad = make_tensor(student, grad)
        optimizer.step()
    expect.array(parameter, start - 0.625 * grad, call="a parameter after a step with lr=0.5 and one with lr=0.125")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=task(f"10.{number}"))
        for number, name in enumerate(("Optimizer", "SGD", "Adam", "AdamW"), start=1)
    ],
)
def test_without_a_gradient_nothing_moves(student, name):
    """A parameter whose grad is None does not change, whatever the others do, and does not decay."""
    moving, resting = make_tensor(student, [1.0, 2.0]), make_tensor(student, [3.0, 4.0])
    options = {} if name == "Optimizer" else {"weight_decay": 0.5}
    optimizer = getattr(student.optimizers, name)([resting, moving], lr=0.1, **options)
    moving.grad = make_tensor(student, [1.0, 1.0])
    optimizer.step()
    call = f"a parameter without gradient after {name}(parameters, lr=0.1).step()"
    expect.array(resting, [3, 4], rtol=0, atol=0, call=call, hint="skip parameters without a gradient")
    now, early = values(moving), "count the step before calling update: in the first step state['step'] is 1"
    hint = None if np.isfinite(now).all() else early
    call = f"the other parameter, [1, 2] with a gradient of ones, after {name}(parameters, lr=0.1).step()"
    expect.that(bool((now < [1, 2]).all()), call=call, got=now, expected="smaller numbers", hint=hint)


@task("10.1")
def test_zero_grad_clears_gradients(student):
    """After zero_grad, the grad of every parameter is None."""
    parameters = [make_tensor(student, [1.0]), make_tensor(student, [[2.0]])]
    optimizer = student.optimizers.Optimizer(parameters, lr=0.1)
    parameters[1].grad = make_tensor(student, [[5.0]])
    optimizer.zero_grad()
    left = [parameter.grad is None for parameter in parameters]
    expect.equal(left, [True, True], call="grad is None, after zero_grad()", hint="for all of optimizer.parameters")


@task("10.1")
def test_parameters_may_come_from_a_generator(student):
    """Parameters may come from any iterable, and one that is given twice takes one step, not two."""
    first, second = make_tensor(student, [1.0]), make_tensor(student, [1.0])
    optimizer = student.optimizers.Optimizer([first, second, first], lr=0.5)
    for parameter in (first, second):
        parameter.grad = make_tensor(student, [1.0])
    optimizer.step()
    for parameter in (first, second):
        expect.array(parameter, [0.5], call="a parameter after Optimizer([first, second, first], lr=0.5).step()")


@task("10.1")
def test_options_out_of_range_are_refused(student):
    """An empty list of parameters, a negative option, or a beta of 1 raises a ValueError."""
    parameter, optimizers = make_tensor(student, [1.0]), student.optimizers
    with expect.raises(ValueError, call="SGD([], lr=0.1)"):
        optimizers.SGD([], lr=0.1)
    for name, options, mention in (
        ("SGD", {"lr": -0.1}, "lr"),
        ("SGD", {"lr": float("nan")}, "lr"),
        ("SGD", {"lr": 0.1, "momentum": -0.5}, "momentum"),
        ("SGD", {"lr": 0.1, "weight_decay": -0.5}, "weight_decay"),
        ("SGD", {"lr": 0.1, "nesterov": True}, "momentum"),
        ("Adam", {"betas": (0.9, 1.0)}, "betas"),
        ("Adam", {"betas": (-0.1, 0.9)}, "betas"),
        ("Adam", {"eps": -1.0}, "eps"),
        ("AdamW", {"weight_decay": -1.0}, "weight_decay"),
    ):
        with expect.raises(ValueError, mentions=(mention,), call=f"{name}(parameters, {options})"):
            getattr(optimizers, name)([parameter], **options)
    optimizers.Optimizer([parameter], lr=0.0).step()


# 10.2 to 10.4: SGD, Adam, AdamW


@task("10.2")
def test_sgd_by_hand(student):
    """With gradient 1, lr 1 and momentum 0.9, the steps are 1, 1.9 and 2.71, or 1.9, 2.71 and 3.439 with Nesterov."""
    for nesterov, steps in ((False, (1, 1.9, 2.71)), (True, (1.9, 2.71, 3.439))):
        ball, place = make_tensor(student, np.zeros(1)), 0.0
        optimizer = student.optimizers.SGD([ball], lr=1.0, momentum=0.9, nesterov=nesterov)
        for number, step in enumerate(steps, start=1):
            ball.grad = make_tensor(student, np.ones(1))
            optimizer.step()
            place -= step
            call = f"0 after step {number} of SGD(lr=1, momentum=0.9, nesterov={nesterov}), with gradients of 1"
            hint = "first compute the new velocity, momentum · velocity + g, and then the update from it"
            expect.array(ball, [place], call=call, hint=hint)


@task("10.2")
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_change_of_lr_acts_immediately(student, nesterov):
    """The velocity does not contain lr: a new lr scales the entire next step, not only the newest gradient."""
    ball = make_tensor(student, np.zeros(1))
    optimizer = student.optimizers.SGD([ball], lr=1.0, momentum=0.5, nesterov=nesterov)
    place = 0.0
    for step, (lr, update) in enumerate(zip((1.0, 1.0, 0.25, 2.0), (1, 1.5, 1.75, 1.875), strict=True), start=1):
        optimizer.lr = lr
        ball.grad = make_tensor(student, np.ones(1))
        optimizer.step()
        place -= lr * (1 + 0.5 * update if nesterov else update)
        call = f"0 after step {step} of SGD(lr=1, 1, ¼, 2, momentum=0.5, nesterov={nesterov}), with gradients of 1"
        hint = "keep lr out of the velocity, momentum · velocity + g, and use it only when the parameter moves"
        expect.array(ball, [place], call=call, hint=hint)


@task("10.2")
@pytest.mark.parametrize("run", list_reference_runs("SGD"))
def test_sgd_goes_where_pytorch_goes(student, run):
    """Over 100 steps all parameters agree with PyTorch's SGD within 1e-5."""
    compare_with_reference_run(student, run)


@task("10.2")
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_sgd_by_its_formula(student, rng, momentum):
    """The velocity is momentum · velocity + grad + weight_decay · value; Nesterov looks ahead along it once more."""
    for nesterov in (False, True) if momentum else (False,):
        lr, decay = 0.1, float(rng.uniform(0.1, 0.5))
        value, velocity = rng.normal(size=(2, 3)), np.zeros((2, 3))
        parameter = make_tensor(student, value)
        optimizer = student.optimizers.SGD([parameter], lr, momentum, nesterov, weight_decay=decay)
        for step in range(1, 4):
            optimizer.lr = lr = float(rng.uniform(0.05, 0.2))
            grad = rng.normal(size=value.shape)
            parameter.grad = make_tensor(student, grad)
            optimizer.step()
            full = grad + decay * value
            velocity = momentum * velocity + full
            value = value - lr * (full + momentum * velocity if nesterov else velocity)
            call = f"SGD(…, momentum={momentum}, nesterov={nesterov}, weight_decay={decay:.2f}), step {step}"
            expect.array(parameter, value, dtype="float64", call=call, rtol=1e-9, atol=1e-9)
            expect.array(parameter.grad, grad, rtol=0, atol=0, call=f"the gradient after {call}")


@task("10.3")
@pytest.mark.parametrize("run", list_reference_runs("Adam"))
def test_adam_goes_where_pytorch_goes(student, run):
    """Over 100 steps all parameters agree with PyTorch's Adam within 1e-5."""
    compare_with_reference_run(student, run)


@task("10.4")
@pytest.mark.parametrize("run", list_reference_runs("AdamW"))
def test_adamw_goes_where_pytorch_goes(student, run):
    """Over 100 steps all parameters agree with PyTorch's AdamW within 1e-5."""
    compare_with_reference_run(student, run)


adams = pytest.mark.parametrize(
    "name", [pytest.param("Adam", marks=task("10.3")), pytest.param("AdamW", marks=task("10.4"))]
)


@adams
def test_adam_by_its_formula(student, rng, name):
    """Both means begin at 0 and are bias-corrected; the decay is added to Adam's gradient, but to AdamW's update."""
    lr, decay, eps = 0.1, float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.01, 0.1))
    beta1, beta2 = float(rng.uniform(0.1, 0.45)), float(rng.uniform(0.2, 0.49))  # far from the usual values
    value = rng.normal(size=(2, 3))
    mean, square = np.zeros((2, 3)), np.zeros((2, 3))
    parameter = make_tensor(student, value)
    optimizer = getattr(student.optimizers, name)([parameter], lr, (beta1, beta2), eps, decay)
    for step in range(1, 5):
        optimizer.lr = lr = float(rng.uniform(0.05, 0.2))
        grad = rng.normal(size=value.shape)
        parameter.grad = make_tensor(student, grad)
        optimizer.step()
        full = grad + decay * value if name == "Adam" else grad
        mean, square = beta1 * mean + (1 - beta1) * full, beta2 * square + (1 - beta2) * full * full
        if name == "AdamW":
            value = value * (1 - lr * decay)
        value = value - lr * (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
        call = f"{name}(…, betas=({beta1:.2f}, {beta2:.2f}), eps={eps:.2f}, weight_decay={decay:.2f}), step {step}"
        expect.array(parameter, value, dtype="float64", call=call, rtol=1e-9, atol=1e-9)
        expect.array(parameter.grad, grad, rtol=0, atol=0, call=f"the gradient after {call}")


@adams
@pytest.mark.parametrize(("dtype", "large"), [("float32", 1e6), ("float16", 6e4)])
def test_adam_takes_steps_of_lr(student, name, dtype, large):
    """The first step is lr for every element, whether its gradient is 1e-5 or 1e6, but 0 for a gradient of 0."""
    parameter = make_tensor(student, np.zeros(5, dtype))
    optimizer = getattr(student.optimizers, name)([parameter], lr=0.01)
    parameter.grad = make_tensor(student, np.array([1e-5, -1.0, 0.0, large, -1e-4], dtype))
    optimizer.step()
    call = f"zeros of {dtype} after one step of {name}(…, lr=0.01) with gradients of 1e-5, -1, 0, {large:.0e}, -1e-4"
    hint = "divide both means by 1 - βᵗ, with t = 1 in this step; squares do not fit in float16"
    expect.array(parameter, [-0.01, 0.01, 0, -0.01, 0.01], rtol=2e-3, dtype=dtype, call=call, hint=hint)


@adams
def test_adam_by_default(student, name):
    """By default lr is 0.001, betas are 0.9 and 0.999, eps is 1e-8, and only AdamW decays, by 0.01."""
    optimizer = getattr(student.optimizers, name)([make_tensor(student, [1.0])])
    optimizer.step()
    options = {name: getattr(optimizer, name) for name in ("lr", "betas", "eps", "weight_decay")}
    decay = 0.0 if name == "Adam" else 0.01
    wanted = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": decay}
    expect.equal(options, wanted, call=f"the options of {name}(parameters)")
    parameter = make_tensor(student, [2.0])
    optimizer = getattr(student.optimizers, name)([parameter])
    parameter.grad = make_tensor(student, [0.5])
    optimizer.step()
    expect.array(parameter, [2 - 0.001 * (1 + 2 * decay)], rtol=1e-6, call=f"2.0 after a step of {name}(parameters)")


@task("10.3")
def test_every_parameter_counts_its_own_steps(student):
    """A parameter that gets its first gradient late is bias-corrected as in a first step."""
    early, late = make_tensor(student, [1.0]), make_tensor(student, [1.0])
    optimizer = student.optimizers.Adam([early, late], lr=0.1)
    for step in range(6):
        early.grad = make_tensor(student, [1.0])
        late.grad = make_tensor(student, [1.0]) if step == 5 else None
        optimizer.step()
    expect.array(late, [0.9], call="a parameter whose only gradient came in the sixth step", hint='use state["step"]')
    expect.array(early, [0.4], call="a parameter that had a gradient in all six steps")


# 10.5: clipping


@task("10.5")
def test_clipping_scales_all_gradients_alike(student, rng):
    """With a norm above max_norm, every gradient is multiplied by max_norm / norm, and the old norm is returned."""
    grads = [rng.normal(size=shape).astype(dtype) for shape, dtype in (((3, 4), "float32"), ((2,), "float64"))]
    parameters = [make_tensor(student, np.ones(grad.shape, grad.dtype)) for grad in (*grads, np.ones(3))]
    norm = math.sqrt(sum(float((grad.astype("float64") ** 2).sum()) for grad in grads))
    for share in (0.3, 0.9):
        for parameter, grad in zip(parameters, grads, strict=False):
            parameter.grad = make_tensor(student, grad)
        got = student.optimizers.clip_grad_norm(parameters, share * norm)
        call = f"clip_grad_norm(parameters, {share * norm:.3f}), norm {norm:.3f}"
        expect.that(type(got) is float, call=call, got=got, expected="a Python float")
        expect.array(got, norm, call=call, hint="take the square root of the sum of squares over all gradients")
        for parameter, grad in zip(parameters, grads, strict=False):
            hint, traps = "use one factor for all", {"gradients must shrink when their norm is above max_norm": grad}
            wanted, clipped = share * grad, f"a gradient after {call}"
            expect.array(parameter.grad, wanted, dtype=grad.dtype, call=clipped, hint=hint, traps=traps)
            expect.array(parameter, np.ones(grad.shape), rtol=0, atol=0, call=f"a parameter after {call}")
    expect.that(parameters[2].grad is None, call="the gradient that was None", got="a tensor", expected="still None")


@task("10.5")
def test_small_gradients_are_not_clipped(student, rng):
    """With a norm of at most max_norm, every gradient stays as it was; without gradients the norm is 0."""
    grad = rng.normal(size=(4, 5)).astype("float32")
    parameter = make_tensor(student, np.ones((4, 5), "float32"))
    call = "clip_grad_norm([a parameter without gradient], 1.0)"
    expect.equal(student.optimizers.clip_grad_norm([parameter], 1.0), 0.0, call=call)
    norm = float(np.sqrt((grad.astype("float64") ** 2).sum()))
    parameter.grad = make_tensor(student, grad)
    for max_norm in (norm * 1.01, 1e6, float("inf")):
        call = f"clip_grad_norm(parameters, {max_norm:.4g}), norm {norm:.4g}"
        expect.array(student.optimizers.clip_grad_norm([parameter], max_norm), norm, call=call)
        hint = "clipping never makes gradients larger"
        expect.array(parameter.grad, grad, rtol=2e-6, dtype="float32", call=f"the gradient after {call}", hint=hint)


@task("10.5")
def test_clipping_of_huge_gradients(student):
    """Results are correct even if squares do not fit in float32, or a small factor does not fit in float16."""
    parameter = make_tensor(student, np.ones(2, "float32"))
    parameter.grad = make_tensor(student, np.array([3e25, -4e25], "float32"))
    got = student.optimizers.clip_grad_norm([parameter], 1.0)
    call = "clip_grad_norm of the gradient [3e25, -4e25]"
    expect.array(got, 5e25, call=call, hint="compute the sum in float64")
    expect.array(parameter.grad, [0.6, -0.8], call=f"the gradient after {call}")
    parameter.grad = make_tensor(student, np.array([3e4, -4e4], "float16"))
    got = student.optimizers.clip_grad_norm([parameter], 1e-3)
    call = "clip_grad_norm of the gradient [3e4, -4e4] in float16, to 1e-3"
    expect.array(got, 5e4, call=call, rtol=1e-3)
    hint = "max_norm / norm is 2e-8, which is 0 in float16: multiply in float64"
    wanted = [6e-4, -8e-4]
    expect.array(parameter.grad, wanted, dtype="float16", rtol=2e-3, call=f"the gradient after {call}", hint=hint)


@task("10.5")
def test_clipping_refuses_what_cannot_be_clipped(student):
    """A norm that is not finite, or a max_norm that is not above 0, raises a ValueError."""
    parameter = make_tensor(student, np.ones(2, "float32"))
    for bad, mention in ((float("nan"), "nan"), (float("inf"), "inf")):
        parameter.grad = make_tensor(student, np.array([1.0, bad], "float32"))
        with expect.raises(ValueError, mentions=(mention,), call=f"clip_grad_norm of a gradient [1.0, {bad}]"):
            student.optimizers.clip_grad_norm([parameter], 1.0)
    for max_norm in (0.0, -1.0, float("nan")):
        with expect.raises(ValueError, mentions=("max_norm",), call=f"clip_grad_norm(parameters, {max_norm})"):
            student.optimizers.clip_grad_norm([parameter], max_norm)


@task("10.5")
@pytest.mark.parametrize("run", list_reference_runs("SGD", "AdamW", clipped=True))
def test_clipped_steps_go_where_pytorch_goes(student, run):
    """Over 100 clipped steps all parameters agree with PyTorch's within 1e-5."""
    compare_with_reference_run(student, run)


# 10.6: state that can be saved


@task("10.6")
@pytest.mark.parametrize("name", STATEFUL)
def test_state_is_flat_and_plain(student, rng, name):
    """The state is a dict from names to arrays, ints and floats. It includes lr and does not change in later steps."""
    parameters = [make_tensor(student, rng.normal(size=shape).astype("float32")) for shape in ((2, 3), (4,), ())]
    optimizer = getattr(student.optimizers, name)(parameters, lr=0.125, **STATEFUL[name])
    advance(student, optimizer, parameters, rng)
    call, state = f"{name}(…).state_dict()", optimizer.state_dict()
    expect.that(type(state) is dict, call=call, got=state, expected="a dict")
    for key, value in state.items():
        fine = type(key) is str and type(value) in (np.ndarray, int, float)
        expect.that(
            fine, call=f"{call}[{key!r}]", got=value, expected="an array, an int or a float, with a string as the key"
        )
    expect.equal(state["lr"], 0.125, call=f'{call}["lr"]')
    shapes = {value.shape for value in state.values() if type(value) is np.ndarray}
    remembers = shapes == {(2, 3), (4,), ()}
    hint = "arithmetic on an array of shape () gives a scalar, which np.array turns into an array again"
    wanted = "the shapes of the parameters: (2, 3), (4,) and ()"
    expect.that(remembers, call=f"the shapes in {call}", got=str(shapes), expected=wanted, hint=hint)
    before = {key: np.array(value) for key, value in state.items()}
    advance(student, optimizer, parameters, rng)
    for key, value in before.items():
        expect.array(state[key], value, rtol=0, atol=0, call=f"{call}[{key!r}], a step later", hint="return copies")


@task("10.6")
@pytest.mark.parametrize("name", STATEFUL)
def test_state_resumes_bit_for_bit(student, rng, name):
    """A new optimiser that loads the state continues exactly like the old one, even for parameters without steps."""
    starts = [rng.normal(size=shape).astype("float32") for shape in ((2, 3), (4,), (), (2,))]
    parameters = [make_tensor(student, start) for start in starts]
    optimizer = getattr(student.optimizers, name)(parameters, lr=0.1, **STATEFUL[name])
    for _ in range(3):
        advance(student, optimizer, parameters[:3], rng)
    optimizer.lr = 0.025
    again = [make_tensor(student, values(parameter)) for parameter in parameters]
    resumed = getattr(student.optimizers, name)(again, lr=0.7, **STATEFUL[name])
    state = optimizer.state_dict()
    kept = {key: np.array(value) for key, value in state.items()}
    resumed.load_state_dict(state)
    call = f"{name} after load_state_dict"
    expect.array(resumed.lr, 0.025, rtol=0, atol=0, call=f"the lr of {call}")
    for step in range(3):
        grads = [rng.normal(size=start.shape).astype("float32") for start in starts]
        advance(student, optimizer, parameters, rng, grads)
        advance(student, resumed, again, rng, grads)
        for one, other in zip(parameters, again, strict=True):
            expected = expect.pull(one, call="a parameter")
            expect.array(other, expected, rtol=0, atol=0, call=f"a parameter {step + 1} steps later, {call}")
    for key, value in kept.items():
        call = f"the loaded state[{key!r}], 3 steps later"
        expect.array(state[key], value, rtol=0, atol=0, call=call, hint="make copies")


@task("10.6")
@pytest.mark.parametrize("name", STATEFUL)
def test_states_share_no_memory(student, rng, name):
    """Saving and loading copy: changing a state's arrays affects neither the optimiser that saved it nor the other."""
    parameter, other = (make_tensor(student, rng.normal(size=3).astype("float32")) for _ in range(2))
    optimizer = getattr(student.optimizers, name)([parameter], lr=0.1, **STATEFUL[name])
    advance(student, optimizer, [parameter], rng)
    resumed = getattr(student.optimizers, name)([other], lr=0.1, **STATEFUL[name])
    wanted = optimizer.state_dict()
    state = student.hold_result(optimizer.state_dict)
    resumed.load_state_dict(state)
    for key in (key for key, value in wanted.items() if type(value) is np.ndarray):
        student.hold_result(state.get, key)[...] = 77.0
        for what, its in (("the optimiser that saved it", optimizer), ("the one that loaded it", resumed)):
            call = f"{name}: {key!r} of {what}, after the array in the state was changed in place"
            hint = "np.array(x) copies, but np.asarray(x) and state[name] = x share memory"
            traps = {hint: 0 * wanted[key] + 77}  # the test's own numbers say nothing else about the state
            expect.array(its.state_dict()[key], wanted[key], rtol=0, atol=0, call=call, hint=hint, traps=traps)


@task("10.6")
@pytest.mark.parametrize("name", STATEFUL)
def test_state_that_does_not_fit_is_refused(student, rng, name):
    """An entry that is missing, unknown, misshapen or not a number raises a ValueError, and nothing changes."""
    parameters = [make_tensor(student, rng.normal(size=shape).astype("float32")) for shape in ((2, 3), (4,))]
    optimizer = getattr(student.optimizers, name)(parameters, lr=0.1, **STATEFUL[name])
    advance(student, optimizer, parameters, rng)
    before = {key: np.array(value) for key, value in optimizer.state_dict().items()}
    good = {key: value * 2 for key, value in before.items()} | {"lr": 0.7}
    array = next(key for key, value in before.items() if value.shape == (4,))
    for key in before:
        cases = [("missing", {k: v for k, v in good.items() if k != key}), ("not a number", good | {key: "much"})]
        cases += [("not a number", good | {key: None}), ("misshapen", good | {key: np.ones((7, 5), "float32")})]
        for what, state in cases:
            call = f"{name}(…).load_state_dict(state), where {key!r} is {what}"
            with expect.raises(ValueError, mentions=(key,), call=call):
                optimizer.load_state_dict(state)
    for what, state, mentions in (
        ("with an extra entry", good | {"9.velocity": np.ones(4)}, ("9.velocity",)),
        ("with an array of (1, 4) for (4,)", good | {array: np.ones((1, 4))}, (array, "(1, 4)", "(4,)")),
        ("which is empty", {}, ("lr",)),
    ):
        with expect.raises(ValueError, mentions=mentions, call=f"{name}(…).load_state_dict(state), {what}"):
            optimizer.load_state_dict(state)
    now = optimizer.state_dict()
    for key, value in before.items():
        call, hint = f"state_dict()[{key!r}] after states were refused", "check everything before you change anything"
        expect.array(now[key], value, rtol=0, atol=0, call=call, hint=hint)


@task("10.6")
def test_state_survives_a_change_of_number_types(student, rng):
    """Numbers that come back as arrays without axes are converted, and so are arrays in another dtype."""
    parameters = [make_tensor(student, rng.normal(size=3).astype("float32"))]
    optimizer = student.optimizers.Adam(parameters, lr=0.1)
    advance(student, optimizer, parameters, rng)
    wanted = optimizer.state_dict()
    optimizer.load_state_dict({key: np.asarray(value, "float64") for key, value in wanted.items()})
    expect.equal(optimizer.state_dict(), wanted, call="state_dict() after its own values were loaded in float64")


# 10.7 to 10.9: schedules

SCHEDULES = [
    pytest.param("StepLR", {"step_size": 3, "gamma": 0.5}, id="step", marks=task("10.7")),
    pytest.param("CosineAnnealingLR", {"T_max": 8, "eta_min": 0.01}, id="cosine", marks=task("10.8")),
    pytest.param("OneCycleLR", {"max_lr": 1.0, "total_steps": 12}, id="one-cycle", marks=task("10.9")),
]


@task("10.7")
@pytest.mark.parametrize("run", list_reference_runs("SGD", scheduler="StepLR"))
def test_step_schedule_goes_where_pytorch_goes(student, run):
    """Over 100 steps, learning rates and parameters agree with PyTorch's StepLR within 1e-5."""
    compare_with_reference_run(student, run)


@task("10.8")
@pytest.mark.parametrize("run", list_reference_runs("SGD", "Adam", scheduler="CosineAnnealingLR"))
def test_cosine_schedule_goes_where_pytorch_goes(student, run):
    """Over 100 steps, learning rates and parameters agree with PyTorch's CosineAnnealingLR within 1e-5."""
    compare_with_reference_run(student, run)


@task("10.9")
@pytest.mark.parametrize("run", list_reference_runs("SGD", "AdamW", scheduler="OneCycleLR"))
def test_one_cycle_goes_where_pytorch_goes(student, run):
    """Over 100 steps, learning rates and parameters agree with PyTorch's OneCycleLR within 1e-5."""
    compare_with_reference_run(student, run)


@task("10.7")
def test_step_schedule_by_its_formula(student, rng):
    """The learning rate is multiplied by gamma after every step_size steps, and not in between."""
    base, gamma = float(rng.uniform(0.1, 1)), float(rng.uniform(0.2, 0.9))
    for size in (1, 2, 5):
        got = collect_learning_rates(student, "StepLR", 12, lr=base, step_size=size, gamma=gamma)
        call = f"the learning rates of StepLR(optimizer, {size}, {gamma:.3f}) from {base:.3f}"
        expect.array(got, [base * gamma ** (k // size) for k in range(13)], call=call, rtol=1e-9, atol=0)
    got = collect_learning_rates(student, "StepLR", 4, lr=base, step_size=2)
    expect.array(got, base * np.array([1, 1, 0.1, 0.1, 0.01]), call="StepLR(optimizer, 2)", rtol=1e-9, atol=0)


@task("10.7")
def test_a_rate_comes_from_the_count(student):
    """Whatever the current lr is, the next step of the schedule sets the rate that belongs to its count."""
    optimizer = student.optimizers.SGD([make_tensor(student, [1.0])], lr=1.0)
    scheduler = student.optimizers.StepLR(optimizer, 2, 0.5)
    for count, wanted in enumerate((1.0, 0.5, 0.5, 0.25), start=1):
        optimizer.lr = 77.0
        scheduler.step()
        call = f"lr after step {count} of StepLR(optimizer, 2, 0.5) from 1.0, when lr was set to 77 before"
        hint = "compute base_lr · gamma to the power of count // step_size, not lr *= gamma"
        expect.array(optimizer.lr, wanted, rtol=1e-12, atol=0, call=call, hint=hint)


@task("10.8")
def test_cosine_schedule_by_its_formula(student, rng):
    """The rate goes from base_lr at step 0 to eta_min at step T_max along half a cosine, and then it rises again."""
    base, low = float(rng.uniform(0.5, 1)), float(rng.uniform(0.01, 0.1))
    got = collect_learning_rates(student, "CosineAnnealingLR", 12, lr=base, T_max=6, eta_min=low)
    wanted = [low + (base - low) / 2 * (1 + math.cos(math.pi * k / 6)) for k in range(13)]
    call = f"the learning rates of CosineAnnealingLR(optimizer, 6, {low:.3f}) from {base:.3f}"
    expect.array(got, wanted, call=call, rtol=1e-9, atol=1e-12)
    got = collect_learning_rates(student, "CosineAnnealingLR", 3, lr=base, T_max=3)
    expect.array(got, [base, base * 0.75, base * 0.25, 0], call="CosineAnnealingLR(optimizer, 3)", atol=1e-9)


@task("10.9")
def test_one_cycle_by_its_formula(student, rng):
    """The rate rises from max_lr / div_factor, then falls to that rate / final_div_factor, along two half cosines."""
    top, share = float(rng.uniform(0.5, 1)), float(rng.uniform(0.25, 0.75))
    total, div, final = int(rng.integers(8, 20)), float(rng.uniform(5, 50)), float(rng.uniform(10, 1000))
    options = {"max_lr": top, "total_steps": total, "pct_start": share, "div_factor": div, "final_div_factor": final}
    got = collect_learning_rates(student, "OneCycleLR", total - 1, lr=3.0, **options)
    place = share * total - 1
    up, down = np.arange(total) / place, (np.arange(total) - place) / (total - 1 - place)
    first, last = top / div, top / div / final
    wanted = np.where(
        up <= 1,
        top + (first - top) / 2 * (1 + np.cos(np.pi * up)),
        last + (top - last) / 2 * (1 + np.cos(np.pi * down)),
    )
    call = f"the learning rates of OneCycleLR(optimizer, {options})"
    expect.array(got, wanted, call=call, rtol=1e-9, atol=1e-12)


@task("10.9")
def test_one_cycle_of_few_steps(student):
    """A cycle whose rise has at most one step begins at the peak, and its last step has the smallest rate."""
    for total, share in ((10, 0.1), (3, 0.3), (4, 0.0), (1, 0.3)):
        got = collect_learning_rates(
            student, "OneCycleLR", total - 1, lr=1.0, max_lr=1.0, total_steps=total, pct_start=share
        )
        call = f"the learning rates of OneCycleLR(optimizer, 1.0, {total}, pct_start={share})"
        expect.array(got[-1], 1 / 25 / 1e4, rtol=1e-9, atol=0, call=f"the last of {call}")
        if share * total == 1:
            expect.array(
                got[0], 1.0, rtol=1e-9, call=f"the first of {call}", hint="there is no rise: do not divide by 0"
            )
        falls = bool((np.diff(got) < 0).all())
        expect.that(falls, call=call, got=str(got), expected="a smaller rate in each step")


@task("10.9")
def test_one_cycle_ends(student):
    """A step beyond total_steps raises a ValueError, and no earlier step does."""
    optimizer = student.optimizers.SGD([make_tensor(student, [1.0])], lr=1.0)
    scheduler = student.optimizers.OneCycleLR(optimizer, max_lr=1.0, total_steps=5)
    for _ in range(5):
        scheduler.step()
    with expect.raises(ValueError, mentions=("5",), call="step() number 6 of OneCycleLR(optimizer, 1.0, 5)"):
        scheduler.step()


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules_resume(student, name, options):
    """A new schedule that loads the state of another continues with the same learning rates."""
    optimizers = student.optimizers
    first, second = (optimizers.SGD([make_tensor(student, [1.0])], lr=lr) for lr in (0.5, 0.9))
    scheduler, resumed = (getattr(optimizers, name)(optimizer, **options) for optimizer in (first, second))
    for _ in range(4):
        scheduler.step()
    state = scheduler.state_dict()
    resumed.load_state_dict(state)
    for step in range(4, 10):
        call = f"lr after {step} steps of {name}, which loaded the state of another"
        expect.array(second.lr, first.lr, rtol=0, atol=0, call=call)
        scheduler.step()
        resumed.step()
    before = resumed.state_dict()
    for bad in ({}, state | {"more": 1}, state | {"count": "soon"}):
        with expect.raises(ValueError, call=f"{name}(…).load_state_dict({bad})"):
            resumed.load_state_dict(bad)
    expect.equal(resumed.state_dict(), before, call="state_dict() after states were rejected")


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules_say_when_they_step(student, name, options):
    """Only OneCycleLR has every_batch True: the other schedules step after each epoch."""
    optimizer = student.optimizers.SGD([make_tensor(student, [1.0])], lr=0.5)
    scheduler = getattr(student.optimizers, name)(optimizer, **options)
    scheduler.step()
    expect.equal(scheduler.every_batch, name == "OneCycleLR", call=f"{name}(optimizer, …).every_batch")


# What the tests use


def make_tensor(student, array):
    """Return a tensor in the student's process; lists of Python floats become float32."""
    return student.tensor.Tensor(np.array(array) if isinstance(array, np.ndarray) else array)


def advance(student, optimizer, parameters, rng, grads=None):
    """Take one step with these gradients, or with random ones."""
    for place, parameter in enumerate(parameters):
        grad = rng.normal(size=values(parameter).shape).astype("float32") if grads is None else grads[place]
        parameter.grad = make_tensor(student, np.asarray(grad))
    optimizer.step()


def collect_learning_rates(student, name, steps, *, lr, **options):
    """Return the learning rates of a schedule before its first step and after each step."""
    optimizer = student.optimizers.SGD([make_tensor(student, [1.0])], lr=lr)
    scheduler = getattr(student.optimizers, name)(optimizer, **options)
    got = [optimizer.lr]
    for _ in range(steps):
        scheduler.step()
        got.append(optimizer.lr)
    return np.array(got)


def compare_with_reference_run(student, run):
    """Take the steps of one run in reference.json, and compare each row that it holds."""
    names = list(REFERENCE["start"])
    parameters = [make_tensor(student, np.array(start, "float32")) for start in REFERENCE["start"].values()]
    optimizer = getattr(student.optimizers, run["optimizer"])(parameters, **run["options"])
    kind, options = run.get("scheduler", (None, {}))
    scheduler = getattr(student.optimizers, kind)(optimizer, **options) if kind else None
    clip = (student.optimizers.clip_grad_norm, run["max_norm"]) if "max_norm" in run else None
    data = [np.array(REFERENCE[what]) for what in ("inputs", "targets")]
    # The steps run in the student's process, because sending a thousand requests would take most of the grading time.
    there, done = student.define(take_steps), 0
    for count, lr, *wanted in run["rows"]:
        schedule = scheduler.step if kind else None
        grads = there(done, int(count), data, parameters, student.tensor.Tensor, optimizer.step, schedule, clip)
        done = int(count)
        how = {key: value for key, value in run.items() if key not in ("name", "rows")}
        when = f"after step {done} with {how}"
        expect.array(optimizer.lr, lr, rtol=1e-5, atol=1e-9, call=f"lr {when}")
        for name, parameter, grad in zip(names, parameters, (*grads, None), strict=True):
            start = np.array(REFERENCE["start"][name])
            its, wanted = np.reshape(wanted[: start.size], start.shape), wanted[start.size :]
            last = "none" if grad is None else np.round(grad, 4).tolist()
            call = f"{name} {when}; it began at {np.round(start, 4).tolist()}, the last gradient was {last}"
            expect.array(parameter, its, rtol=0, atol=1e-5, dtype="float32", call=call)


def take_steps(done, until, data, parameters, make, step_once, schedule, clip):
    """Take steps done + 1 to `until` on the loss that reference.json describes, and return the last gradients.

    The third parameter has a gradient only in every third step, and the fourth never has one.
    """
    import numpy as np  # this runs in the student's process, where this file's imports are unknown

    grads = []
    for step in range(done, until):
        weight, bias, gain = (parameter.numpy() for parameter in parameters[:3])
        x, y = (array[[2 * step % 8, (2 * step + 1) % 8]] for array in data)
        output = np.tanh(x @ weight.T + bias)
        slope = 2 * (output - y) * (1 - output**2) / y.size
        grads = [slope.T @ x, slope.sum(axis=0), gain - x.sum() if step % 3 == 0 else None]
        for parameter, grad in zip(parameters[:3], grads, strict=True):
            parameter.grad = None if grad is None else make(grad.astype("float32"))
        if clip:
            clip[0](parameters, clip[1])
        step_once()
        if schedule:
            schedule()
    return grads
