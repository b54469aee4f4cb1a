"""The tests of module 06: convolution, pooling and batch normalisation against plain loops in float64."""

from itertools import product

import numpy as np
import pytest

from grading.testing import check_gradient, draw_parameters, expect, recipes, task, traced, values

RECIPE = recipes.ImageRecipe("06_spatial", (1, 28, 28))

CONVOLUTIONS = {
    "plain": ((2, 1, 5, 5), (3, 1, 3, 3), (1, 1), (0, 0)),
    "oblong": ((1, 3, 6, 7), (2, 3, 3, 2), (1, 1), (1, 0)),
    "strided": ((2, 2, 7, 5), (4, 2, 3, 3), (2, 2), (1, 1)),
    "uneven": ((2, 2, 8, 7), (1, 2, 2, 3), (3, 2), (0, 2)),
    "one pixel": ((1, 4, 5, 6), (5, 4, 1, 1), (1, 1), (0, 0)),
    "whole image": ((3, 2, 4, 5), (2, 2, 4, 5), (1, 1), (0, 0)),
    "gaps": ((1, 1, 7, 6), (2, 1, 2, 2), (3, 4), (1, 1)),
    "many channels": ((2, 9, 9, 8), (17, 9, 5, 3), (2, 1), (2, 3)),
}
convolutions = pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
POOLS = {
    "side by side": ((2, 3, 6, 4), (2, 2), (2, 2)),
    "rest left over": ((1, 2, 7, 5), (2, 3), (2, 3)),
    "overlapping": ((2, 2, 7, 9), (3, 3), (2, 2)),
    "uneven": ((2, 1, 6, 7), (3, 2), (1, 3)),
    "gaps": ((1, 2, 8, 7), (2, 1), (3, 2)),
    "whole image": ((2, 3, 4, 5), (4, 5), (1, 1)),
}
pools = pytest.mark.parametrize("case", POOLS.values(), ids=POOLS.keys())

# 6.1: how large the output is


@task("6.1")
def test_output_size_counts_places(student, rng):
    """The output size is the number of positions at which the kernel fits inside the padded axis."""
    drawn = [[int(rng.integers(*ends)) for ends in ((5, 40), (1, 6), (1, 5), (0, 4))] for _ in range(12)]
    for size, kernel, stride, padding in [
        [28, 3, 1, 0],
        [28, 3, 1, 1],
        [28, 5, 2, 2],
        [5, 5, 3, 0],
        [3, 5, 4, 1],
        *drawn,
    ]:
        got = student.spatial.output_size(size, kernel, stride, padding)
        wanted = len(range(0, size + 2 * padding - kernel + 1, stride))
        call = f"output_size(size={size}, kernel={kernel}, stride={stride}, padding={padding})"
        expect.equal(got, wanted, call=call, hint="floor((size + 2·padding - kernel) / stride) + 1, an int")


@task("6.1")
def test_output_size_refuses_a_kernel_that_does_not_fit(student):
    """A kernel larger than the padded axis raises a ValueError that states both sizes."""
    for size, kernel, padding in ((4, 5, 0), (3, 8, 2), (2, 19, 7)):
        call = f"output_size({size}, {kernel}, 1, {padding})"
        with expect.raises(ValueError, mentions=(str(kernel), str(size + 2 * padding)), call=call):
            student.spatial.output_size(size, kernel, 1, padding)
        call = f"output_size({size}, {size + 2 * padding}, 9, {padding}), where the kernel just fits"
        expect.equal(student.spatial.output_size(size, size + 2 * padding, 9, padding), 1, call=call)


# 6.2: one window at a time


@task("6.2")
def test_naive_convolution_does_not_flip_the_kernel(student):
    """A kernel that holds a single 1 copies the pixel under that 1: the kernel is not flipped."""
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    for i, j in np.ndindex(3, 3):
        weight = np.zeros((1, 1, 3, 3))
        weight[0, 0, i, j] = 1
        got = student.spatial.conv2d_naive(x, weight)
        call = f"conv2d_naive(0 to 15 in 4 rows, a 3×3 kernel with a 1 at {(i, j)})"
        hint = "each output is the sum of a window · kernel; its window begins at row · stride and column · stride"
        traps = {"use the kernel as it is, unflipped": x[:, :, 2 - i : 4 - i, 2 - j : 4 - j]}
        expect.array(got, x[:, :, i : i + 2, j : j + 2], call=call, hint=hint, traps=traps)


@task("6.2")
@convolutions
def test_naive_convolution(student, rng, case):
    """Each output is the sum of a window times a kernel, over all channels, plus the kernel's bias."""
    shape, kernels, stride, padding = case
    x, weight, bias = rng.normal(size=shape), rng.normal(size=kernels), rng.normal(size=kernels[0])
    wanted, call = correlate_windows(x, weight, stride, padding), f"conv2d_naive({describe_convolution(case)})"
    conv = student.spatial.conv2d_naive
    expect.array(conv(x, weight, stride=stride, padding=padding), wanted, call=call)
    got, hint = conv(x, weight, bias, stride=stride, padding=padding), "add each kernel's bias to its own map"
    expect.array(got, wanted + bias[:, None, None], call=f"{call} with a bias", hint=hint)


@task("6.2")
def test_naive_convolution_in_float32(student, rng):
    """The output for float32 images and kernels is float32."""
    x, weight, bias = (rng.normal(size=s).astype("float32") for s in ((2, 2, 5, 4), (3, 2, 3, 3), (3,)))
    got = student.spatial.conv2d_naive(x, weight, bias, padding=(1, 1))
    wanted = correlate_windows(x, weight, (1, 1), (1, 1)) + bias[:, None, None]
    expect.array(got, wanted, dtype="float32", rtol=1e-4, atol=1e-4, call="conv2d_naive in float32")


@task("6.2")
def test_naive_convolution_refuses_what_does_not_fit(student):
    """A wrong number of channels, or a kernel larger than the padded image, raises a ValueError."""
    for x, weight in (((1, 3, 5, 5), (2, 2, 3, 3)), ((1, 2, 4, 5), (2, 2, 5, 5)), ((1, 2, 5, 4), (2, 2, 5, 5))):
        with expect.raises(ValueError, call=f"conv2d_naive of shapes {x} and {weight}"):
            student.spatial.conv2d_naive(np.ones(x), np.ones(weight))
    got = student.spatial.conv2d_naive(np.ones((1, 2, 4, 5)), np.ones((2, 2, 5, 5)), padding=(1, 0))
    expect.array(got, np.full((1, 2, 2, 1), 40), call="conv2d_naive of ones, where the padding makes the kernel fit")


# 6.3: windows into columns, and back


@task("6.3")
@convolutions
def test_im2col_has_a_column_for_every_window(student, rng, case):
    """Column p is the p-th window, counted row by row, with its pixels in the order channel, row, column."""
    shape, (_, channels, *size), stride, padding = case
    for dtype in ("float32", "float64"):
        x = rng.normal(size=shape).astype(dtype)
        windows = [
            pad_images(x, padding)[at].reshape(len(x), -1)
            for _, _, at in iterate_window_positions(shape, size, stride, padding)
        ]
        got = student.spatial.im2col(x, tuple(size), stride, padding)
        call = f"im2col(x, {tuple(size)}, {stride}, {padding}), x {dtype} of shape {shape}"
        hint = (
            f"a column for each of the {len(windows)} windows of the padded image, with its {channels} · {size[0]} · "
            f"{size[1]} pixels: channel by channel, and in each channel row by row"
        )
        expect.array(got, np.stack(windows, axis=-1), dtype=dtype, call=call, hint=hint)


@task("6.3")
@convolutions
def test_col2im_adds_every_number_to_its_pixel(student, rng, case):
    """Every pixel gets the sum of its elements in the columns; those of the padding are dropped."""
    shape, (_, _, *size), stride, padding = case
    for dtype in ("float32", "float64"):
        count = len(list(iterate_window_positions(shape, size, stride, padding)))
        columns = rng.normal(size=(shape[0], shape[1] * size[0] * size[1], count)).astype(dtype)
        image = pad_images(np.zeros(shape), padding)
        for p, (_, _, at) in enumerate(iterate_window_positions(shape, size, stride, padding)):
            image[at] += columns[..., p].reshape(*shape[:2], *size)
        call = f"col2im({dtype} columns, shape={shape}, kernel_size={tuple(size)}, {stride}, {padding})"
        got = expect.pull(student.spatial.col2im(columns, shape, tuple(size), stride, padding), call=call)
        hint = "only the padding is cut off, at both ends of rows and columns: h rows and w columns remain"
        expect.equal(got.shape, shape, call=f"the shape of {call}", hint=hint)
        hint = "add each number to the pixel it came from in im2col, and drop what falls on the padding"
        expect.array(got, crop_padding(image, padding), dtype=dtype, rtol=1e-4, atol=1e-5, call=call, hint=hint)


@task("6.3")
def test_col2im_counts_windows(student):
    """For columns of ones, each pixel gets the number of windows that contain it."""
    got = student.spatial.col2im(np.ones((1, 9, 4)), (1, 1, 4, 4), (3, 3), (1, 1), (0, 0))
    wanted = [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    expect.array(got, [[wanted]], call="col2im(ones, shape=(1, 1, 4, 4), kernel_size=(3, 3), stride 1, no padding)")


@task("6.3")
def test_im2col_of_no_images(student):
    """An empty batch has columns of the same shape as any other batch, and col2im turns them into an empty batch."""
    spatial, hint = student.spatial, "reshape cannot work out a -1 next to a size of 0: write out every size"
    call = "im2col(x of (0, 2, 4, 5), (2, 3), (1, 2), (1, 0))"
    columns = spatial.im2col(np.ones((0, 2, 4, 5)), (2, 3), (1, 2), (1, 0))
    expect.array(columns, np.ones((0, 12, 10)), call=call, hint=hint)
    got = spatial.col2im(np.ones((0, 12, 10)), (0, 2, 4, 5), (2, 3), (1, 2), (1, 0))
    expect.array(got, np.ones((0, 2, 4, 5)), call="col2im of the columns of an empty batch", hint=hint)


@task("6.3")
def test_im2col_refuses_a_kernel_that_does_not_fit(student):
    """A kernel larger than the padded image raises a ValueError."""
    for shape in ((1, 1, 2, 5), (1, 1, 5, 2)):
        with expect.raises(ValueError, call=f"im2col(x of {shape}, (3, 3), (1, 1), (0, 0))"):
            student.spatial.im2col(np.ones(shape), (3, 3), (1, 1), (0, 0))


# 6.4: convolution as a matrix product

GRADIENTS = {
    "x": "the gradient of the columns is Wᵀ · G; col2im turns it into images",
    "weight": "G · (the columns)ᵀ, reshaped to the kernels' shape",
    "bias": "one number per kernel: the sum of G over all images and output positions",
}


@task("6.4")
@convolutions
def test_convolution_values(student, rng, case):
    """The fast convolution gives the same output as the naive one, with and without a bias."""
    shape, kernels, stride, padding = case
    x, weight, bias = rng.normal(size=shape), rng.normal(size=kernels), rng.normal(size=kernels[0])
    wanted, op = correlate_windows(x, weight, stride, padding), student.spatial.conv2d
    attributes, call = {"stride": stride, "padding": padding}, f"conv2d.forward({describe_convolution(case)})"
    expect.array(op.forward(x, weight, **attributes), wanted, call=call)
    got, hint = op.forward(x, weight, bias, **attributes), "add each kernel's bias to its row of the product"
    expect.array(got, wanted + bias[:, None, None], call=f"{call} with a bias", hint=hint)


@task("6.4")
@convolutions
def test_convolution_gradients(student, rng, case):
    """The gradients of images, kernels and bias equal those of plain loops, in the dtype of the arrays."""
    shape, kernels, stride, padding = case
    arrays = rng.normal(size=shape), rng.normal(size=kernels), rng.normal(size=kernels[0])
    output, op = correlate_windows(*arrays[:2], stride, padding), student.spatial.conv2d
    grad, call = rng.normal(size=output.shape), f"conv2d.backward({describe_convolution(case)})"
    wanted = compute_correlation_gradients(grad, *arrays[:2], stride, padding)
    for dtype, tolerance in (("float64", {}), ("float32", {"rtol": 1e-4, "atol": 1e-3})):
        g, y, x, weight, bias = (array.astype(dtype) for array in (grad, output, *arrays))
        got = op.backward(g, y, x, weight, bias, stride=stride, padding=padding)
        expect.equal(len(got), 3, call=f"the number of gradients of {call} with a bias")
        for (name, hint), its_grad, its_wanted in zip(GRADIENTS.items(), got, wanted, strict=True):
            its_call = f"{call} in {dtype}: {name}"
            expect.array(its_grad, its_wanted, dtype=dtype, call=its_call, hint=hint, **tolerance)
        without = op.backward(g, y, x, weight, stride=stride, padding=padding)
        expect.equal(len(without), 2, call=f"the number of gradients of {call} without a bias")
        expect.array(without[1], wanted[1], dtype=dtype, call=f"{call} without a bias: weight", **tolerance)


@task("6.4")
@pytest.mark.parametrize(
    "case", [((2, 2, 4, 3), (2, 2, 3, 2), (1, 1), (0, 1)), ((1, 1, 5, 6), (2, 1, 2, 3), (2, 3), (1, 0))]
)
def test_convolution_agrees_with_finite_differences(student, rng, case):
    """The backward function agrees with finite differences of the forward function."""
    shape, kernels, stride, padding = case
    x, weight, bias = rng.normal(size=shape), rng.normal(size=kernels), rng.normal(size=kernels[0])
    call = f"conv2d.backward({describe_convolution(case)})"
    check_gradient(student.spatial.conv2d, x, weight, bias, stride=stride, padding=padding, call=call)


@task("6.4")
def test_convolution_of_no_images(student):
    """An empty batch gives empty maps of the correct size, and gradients of 0 for the kernels and the bias."""
    x, weight, bias = np.ones((0, 2, 5, 5)), np.ones((3, 2, 3, 3)), np.ones(3)
    options = {"stride": (2, 2), "padding": (1, 1)}
    call, hint = f"conv2d of x of {x.shape}, weight of {weight.shape}", "write out every size that may be 0"
    output = expect.pull(student.spatial.conv2d.forward(x, weight, bias, **options), call=call)
    expect.array(output, np.ones((0, 3, 3, 3)), call=call, hint=hint)
    got = student.spatial.conv2d.backward(np.ones((0, 3, 3, 3)), output, x, weight, bias, **options)
    for name, gradient, array in zip(("x", "weight", "bias"), got, (x, weight, bias), strict=True):
        expect.array(gradient, np.zeros_like(array), call=f"{call}: the gradient of {name}", hint=hint)


@task("6.4")
def test_convolution_in_float32(student, rng):
    """In float32 the result is float32, even for images as large as digits, and no argument is changed."""
    x, weight, bias = (rng.normal(size=s).astype("float32") for s in ((8, 3, 28, 28), (6, 3, 5, 5), (6,)))
    its_x, its_weight, its_bias = (student.tensor.Tensor(a) for a in (x, weight, bias))
    got = student.tensor.apply(student.spatial.conv2d, its_x, its_weight, its_bias, stride=(1, 1), padding=(2, 2))
    wanted = correlate_windows(x, weight, (1, 1), (2, 2)) + bias[:, None, None]
    expect.array(got, wanted, dtype="float32", rtol=1e-4, atol=2e-4, call="conv2d of (8, 3, 28, 28), 5×5 kernels")
    for name, tensor, before in (("x", its_x, x), ("weight", its_weight, weight), ("bias", its_bias, bias)):
        expect.array(tensor, before, rtol=0, atol=0, call=f"{name} after conv2d", hint="do not change any argument")


@task("6.4")
def test_convolution_refuses_what_does_not_fit(student):
    """Through apply, arrays that do not fit raise a ValueError that states both shapes."""
    call, op = student.tensor.apply, student.spatial.conv2d
    for x, weight in (((1, 3, 5, 5), (2, 2, 3, 3)), ((2, 5, 5), (2, 2, 3, 3)), ((1, 2, 4, 9), (2, 2, 5, 5))):
        with expect.raises(ValueError, mentions=(str(x), str(weight)), call=f"conv2d of shapes {x} and {weight}"):
            call(op, np.ones(x), np.ones(weight), stride=(1, 1), padding=(0, 0))
    got = call(op, np.ones((1, 2, 4, 9)), np.ones((2, 2, 5, 5)), stride=(1, 4), padding=(1, 0))
    expect.array(got, np.full((1, 2, 2, 2), 40), call="conv2d of ones, where the padding makes the kernel fit")


# 6.5: the Conv2d layer


@task("6.5")
def test_conv2d_has_parameters_of_the_right_shape(student):
    """Conv2d(3, 5, (2, 4)) has a weight of shape (5, 3, 2, 4) and a bias of zeros, both float32."""
    layer = student.spatial.Conv2d(3, 5, kernel_size=(2, 4), rng=student.rng(1))
    shapes = [p.shape for p in layer.parameters()]
    expect.equal(shapes, [(5, 3, 2, 4), (5,)], call="the shapes of Conv2d(3, 5, (2, 4)).parameters()")
    expect.equal(layer.weight.shape, (5, 3, 2, 4), call="Conv2d(3, 5, (2, 4)).weight.shape")
    expect.array(layer.bias, np.zeros(5), dtype="float32", call="Conv2d(3, 5, (2, 4)).bias")
    for parameter in layer.parameters():
        expect.equal(str(parameter.dtype), "float32", call="the dtype of each of Conv2d(3, 5, (2, 4)).parameters()")
    layer = student.spatial.Conv2d(3, 5, 2, bias=False, rng=student.rng(1))
    expect.equal(layer.bias, None, call="Conv2d(3, 5, 2, bias=False).bias")
    expect.equal([p.shape for p in layer.parameters()], [(5, 3, 2, 2)], call="the shapes of its parameters()")


@task("6.5")
@pytest.mark.parametrize("sizes", [(1, 3), (20, 3), (8, 5)])
def test_conv2d_starts_with_he_variance(student, sizes):
    """The weight has mean 0 and variance 2 / (in_channels · kh · kw), and is drawn from a normal distribution."""
    channels, size = sizes
    fan_in = channels * size * size
    weight = values(student.spatial.Conv2d(channels, 20_000 // fan_in, size, rng=student.rng(7)).weight)
    call, normal = f"the weight of Conv2d({channels}, {20_000 // fan_in}, {size})", weight.ravel() / np.sqrt(2 / fan_in)
    expect.array(normal.mean(), 0, atol=0.05, call=f"the mean of {call}, in standard deviations", hint="the mean is 0")
    hint = "the variance is 2 / fan_in, so the standard deviation is its root; fan_in = C · kh · kw"
    expect.array(normal.var(), 1, atol=0.1, call=f"the variance of {call}, times fan_in / 2", hint=hint)
    within = float((abs(normal) < 1).mean())
    expect.that(
        0.65 < within < 0.72, call=f"the fraction of {call} within 1 standard deviation", got=within, expected="0.683"
    )


@task("6.5")
def test_conv2d_draws_from_its_generator(student):
    """Weights depend only on the generator."""
    make, generator = student.spatial.Conv2d, student.rng(3)
    first, second = make(2, 3, 3, rng=generator), make(2, 3, 3, rng=generator)
    again, other = make(2, 3, 3, rng=student.rng(3)), make(2, 3, 3, rng=student.rng(4))
    drawn = values(first.weight)
    expect.array(again.weight, drawn, rtol=0, atol=0, call="the weight drawn from the same seed again")
    for what, layer in (("a different seed", other), ("the same generator again", second)):
        differs = not np.allclose(values(layer.weight), drawn)
        expect.that(differs, call=f"the weight drawn from {what}", got="the same values", expected="different values")


@task("6.5")
def test_conv2d_is_one_recorded_op(student, rng):
    """A recorder is called for one op, conv2d, with the input and the parameter tensors themselves."""
    layer, x = student.spatial.Conv2d(1, 2, 3, rng=student.rng(2)), student.tensor.Tensor(rng.normal(size=(1, 1, 4, 4)))
    with traced(student.tensor) as trace:
        layer(x)
    call, hint = (
        "the ops a Trace records in Conv2d(1, 2, 3)",
        "run the op through apply, which tells recorders about it",
    )
    expect.equal([entry[0] for entry in trace.entries], ["conv2d"], call=call, hint=hint)
    for tensor, number in zip(trace.entries[0][1], (5.0, 6.0, 7.0), strict=True):
        tensor.grad = student.tensor.Tensor(number)
    marks = [x.grad.item(), layer.weight.grad.item(), layer.bias.grad.item()]
    expect.equal(marks, [5.0, 6.0, 7.0], call="the marks put on the op's inputs, as found on x, weight and bias")


@task("6.5")
@convolutions
def test_conv2d_forward_and_backward(student, rng, case):
    """The layer convolves with its current parameters, passes gradients back, and adds to those of its parameters."""
    shape, kernels, stride, padding = case
    layer = student.spatial.Conv2d(shape[1], kernels[0], kernels[2:], stride, padding, rng=student.rng(2))
    draw_parameters(layer, rng)
    weight, bias, tensor = values(layer.weight), values(layer.bias), student.tensor.Tensor
    sums = [np.zeros(kernels), np.zeros(kernels[0])]
    for _ in range(2):
        x = rng.normal(size=shape)
        wanted = correlate_windows(x, weight, stride, padding) + bias[:, None, None]
        call = f"layer = Conv2d({describe_convolution(case)}); layer(x)"
        expect.array(layer(tensor(x)), wanted, call=call)
        grad = rng.normal(size=wanted.shape)
        grad_x, *more = compute_correlation_gradients(grad, x, weight, stride, padding)
        expect.array(layer.backward(tensor(grad)), grad_x, call=f"{call}; layer.backward(grad)")
        sums = [total + new for total, new in zip(sums, more, strict=True)]
        for name, total in zip(("weight", "bias"), sums, strict=True):
            got = getattr(layer, name).grad
            expect.array(got, total, call=f"{name}.grad after another backward", hint="gradients add up")


@task("6.5")
def test_conv2d_takes_ints_and_keeps_float32(student, rng):
    """An int applies to both rows and columns; integer images give float32, forward and backward."""
    layer = student.spatial.Conv2d(2, 3, 3, stride=2, padding=1, bias=False, rng=student.rng(2))
    x, weight = rng.integers(-3, 4, (2, 2, 5, 7)), values(layer.weight)
    call = "layer = Conv2d(2, 3, 3, stride=2, padding=1, bias=False); layer(tensor of int64)"
    wanted = correlate_windows(x, weight, (2, 2), (1, 1))
    got = layer(student.tensor.Tensor(x))
    expect.array(got, wanted, dtype="float32", rtol=1e-4, atol=1e-4, call=call)
    grad = rng.normal(size=wanted.shape).astype("float32")
    grad_x, grad_weight, _ = compute_correlation_gradients(grad, x, weight, (2, 2), (1, 1))
    got = layer.backward(student.tensor.Tensor(grad))
    expect.array(got, grad_x, dtype="float32", rtol=1e-4, atol=1e-4, call=f"{call}; layer.backward(grad)")
    got = layer.weight.grad
    expect.array(got, grad_weight, dtype="float32", rtol=1e-4, atol=1e-4, call=f"{call}; layer.weight.grad")


@task("6.5")
def test_conv2d_says_what_does_not_fit(student):
    """A wrong input, a wrong gradient, and backward before forward raise errors that say what is required."""
    layer, tensor = student.spatial.Conv2d(2, 3, 3, rng=student.rng(2)), student.tensor.Tensor
    with expect.raises(RuntimeError, mentions=("forward",), call="Conv2d(2, 3, 3).backward(grad) without forward"):
        layer.backward(tensor(np.ones((1, 3, 2, 2))))
    for shape in ((1, 1, 5, 5), (1, 2, 2, 5), (2, 5, 5)):
        with expect.raises(ValueError, mentions=(str(shape), "(3, 2, 3, 3)"), call=f"Conv2d(2, 3, 3)(x of {shape})"):
            layer(tensor(np.ones(shape)))
    layer(tensor(np.ones((1, 2, 4, 4))))
    with expect.raises(ValueError, mentions=("(1, 3, 4, 4)", "(1, 3, 2, 2)"), call="backward(grad of (1, 3, 4, 4))"):
        layer.backward(tensor(np.ones((1, 3, 4, 4))))


# 6.6: pooling


@task("6.6")
@pools
@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
def test_pooling_values(student, rng, case, kind):
    """Each output is the maximum or the mean of one window of one channel, in the images' dtype."""
    shape, size, stride = case
    function = np.max if kind == "MaxPool2d" else np.mean
    for dtype in ("float32", "float64"):
        x = (rng.normal(size=shape) - 4).astype(dtype)  # nearly all negative, so that a maximum that begins at 0 fails
        its_x = student.tensor.Tensor(x)
        got = getattr(student.spatial, kind)(size, stride)(its_x)
        call = f"{kind}({size}, stride={stride})(x), x {dtype} of shape {shape}"
        expect.unchanged(its_x, x, call=f"x after {call}")
        from_zero = np.maximum(pool_windows(x, size, stride, function), 0)
        traps = {"Nearly all pixels are negative: start from the first view, not from 0.": from_zero}
        traps = traps if kind == "MaxPool2d" else None
        wanted = pool_windows(x, size, stride, function)
        expect.array(got, wanted, dtype=dtype, rtol=1e-4, atol=1e-5, call=call, traps=traps)


@task("6.6")
@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
def test_pooling_puts_windows_side_by_side(student, rng, kind):
    """Without a stride, windows do not overlap; an int is the size along both axes."""
    x, function = rng.normal(size=(2, 2, 6, 9)), np.max if kind == "MaxPool2d" else np.mean
    for given, size in ((3, (3, 3)), ((2, 3), (2, 3))):
        got = getattr(student.spatial, kind)(kernel_size=given)(student.tensor.Tensor(x))
        expect.array(got, pool_windows(x, size, size, function), call=f"{kind}({given})(x), x of shape (2, 2, 6, 9)")
    got = getattr(student.spatial, kind)(3, stride=1)(student.tensor.Tensor(x))
    expect.array(
        got, pool_windows(x, (3, 3), (1, 1), function), call=f"{kind}(3, stride=1)(x), x of shape (2, 2, 6, 9)"
    )


@task("6.6")
@pools
def test_max_pooling_gives_the_gradient_to_the_first_largest_pixel(student, rng, case):
    """A window's gradient goes to its largest pixel, or to the first of several, row by row; overlaps add up."""
    shape, size, stride = case
    layer, tensor = student.spatial.MaxPool2d(size, stride), student.tensor.Tensor
    for name, x in (
        ("all different", rng.permutation(np.prod(shape)).reshape(shape)),
        ("ties", rng.integers(0, 2, shape)),
    ):
        for dtype in ("float32", "float64"):
            output = pool_windows(x, size, stride, np.max)
            grad, wanted = rng.normal(size=output.shape).astype(dtype), np.zeros(shape)
            for (r, c, at), (n, channel) in product(
                iterate_window_positions(shape, size, stride), np.ndindex(shape[:2])
            ):
                first = np.unravel_index(x[n, channel][at[1:]].argmax(), size)
                wanted[n, channel][at[1:]][first] += grad[n, channel, r, c]
            layer(tensor(x.astype(dtype)))
            call = f"MaxPool2d({size}, stride={stride}), x of shape {shape} ({name}): backward"
            got = layer.backward(tensor(grad))
            hint = "a window's largest pixel gets its whole gradient; of several equal ones, only the first does"
            expect.array(got, wanted, dtype=dtype, rtol=1e-4, atol=1e-5, call=call, hint=hint)


@task("6.6")
def test_max_pooling_gives_the_gradient_to_nan(student):
    """The maximum of a window with a NaN is NaN, and the first NaN gets the window's gradient, which is not lost."""
    nan, op = np.nan, student.spatial.max_pool2d
    x = np.array([[[[1.0, nan, 5.0, 2.0], [nan, 3.0, 4.0, 5.0]]]])
    call, hint = "max_pool2d of [[1, nan, 5, 2], [nan, 3, 4, 5]], kernel_size (2, 2)", "nan == nan is False: np.isnan"
    output = expect.pull(op.forward(x, kernel_size=(2, 2), stride=(2, 2)), call=call)
    expect.array(output, [[[[nan, 5]]]], call=call)
    (got,) = op.backward(np.array([[[[6.0, 7.0]]]]), output, x, kernel_size=(2, 2), stride=(2, 2))
    expect.array(got, [[[[0, 6, 7, 0], [0, 0, 0, 0]]]], call=f"the gradient of {call}, for [[6, 7]]", hint=hint)


@task("6.6")
def test_max_pooling_keeps_an_infinite_gradient_apart(student):
    """Pixels that are not the largest in a window get 0, however large the gradient is."""
    x, op = np.array([[[[1.0, 2.0]]]]), student.spatial.max_pool2d
    (got,) = op.backward(np.full((1, 1, 1, 1), np.inf), x[..., 1:], x, kernel_size=(1, 2), stride=(1, 2))
    call = "the gradient of max_pool2d of [[1, 2]], kernel_size (1, 2), for inf"
    expect.array(got, [[[[0, np.inf]]]], call=call, hint="inf · 0 is NaN: select instead of multiplying")


@task("6.6")
@pools
def test_average_pooling_shares_the_gradient_equally(student, rng, case):
    """Every pixel of a window gets an equal share of the window's gradient; overlaps add up."""
    shape, size, stride = case
    layer, tensor = student.spatial.AvgPool2d(size, stride), student.tensor.Tensor
    for dtype in ("float32", "float64"):
        output = values(layer(tensor(rng.normal(size=shape).astype(dtype))))
        grad, wanted = rng.normal(size=output.shape).astype(dtype), np.zeros(shape)
        for r, c, at in iterate_window_positions(shape, size, stride):
            wanted[at] += grad[:, :, r, c, None, None] / (size[0] * size[1])
        call = f"AvgPool2d({size}, stride={stride}), x of shape {shape}: backward"
        expect.array(layer.backward(tensor(grad)), wanted, dtype=dtype, rtol=1e-4, atol=1e-5, call=call)


@task("6.6")
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pooling_agrees_with_finite_differences(student, rng, name):
    """Backward agrees with finite differences of forward, even where windows overlap."""
    x = rng.permutation(48).reshape(1, 2, 4, 6) / 10  # values further apart than the finite differences' steps
    for size, stride in (((2, 2), (2, 2)), ((3, 2), (1, 2))):
        call = f"{name}.backward, kernel_size={size}, stride={stride}"
        check_gradient(getattr(student.spatial, name), x, kernel_size=size, stride=stride, call=call)


@task("6.6")
def test_average_pooling_of_integers_is_float32(student):
    """Integer images are averaged in float32, without rounding."""
    got = student.spatial.AvgPool2d(2)(student.tensor.Tensor(np.array([[[[1, 2], [3, 5]]]])))
    expect.array(
        got, [[[[2.75]]]], dtype="float32", call="AvgPool2d(2)(Tensor([[[[1, 2], [3, 5]]]]))", dtype_hint="as_floating"
    )


@task("6.6")
@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
def test_pooling_is_one_recorded_op(student, rng, kind):
    """A recorder is called for one op; there are no parameters, and no argument is changed."""
    x, name = rng.normal(size=(2, 1, 4, 4)), {"MaxPool2d": "max_pool2d", "AvgPool2d": "avg_pool2d"}[kind]
    layer, its_x = getattr(student.spatial, kind)(2), student.tensor.Tensor(x)
    with traced(student.tensor) as trace:
        output = layer(its_x)
    expect.equal([entry[0] for entry in trace.entries], [name], call=f"the ops a Trace records in {kind}(2)(x)")
    expect.equal(layer.parameters(), [], call=f"{kind}(2).parameters()")
    before, its_grad = values(output), student.tensor.Tensor(np.ones((2, 1, 2, 2)))
    layer.backward(its_grad)
    for what, tensor, wanted in (
        ("x", its_x, x),
        ("the output", output, before),
        ("grad", its_grad, np.ones((2, 1, 2, 2))),
    ):
        expect.array(tensor, wanted, rtol=0, atol=0, call=f"{what} after forward and backward of {kind}(2)")


@task("6.6")
@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
def test_pooling_refuses_what_does_not_fit(student, kind):
    """A window larger than the image, or an array without four axes, raises a ValueError with the shape."""
    layer = getattr(student.spatial, kind)((2, 3))
    for shape in ((1, 1, 1, 5), (1, 1, 5, 2), (1, 5, 5)):
        with expect.raises(ValueError, mentions=(str(shape),), call=f"{kind}((2, 3))(x of {shape})"):
            layer(student.tensor.Tensor(np.ones(shape)))


# 6.7: flatten


@task("6.7")
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (4, 6), (0, 2, 3, 3)])
def test_flatten_makes_rows(student, rng, shape):
    """Every example becomes one row, in C order; backward restores the shape of a gradient."""
    tensor, layer = student.tensor.Tensor, student.spatial.Flatten()
    for dtype in ("float32", "float64"):
        x = rng.normal(size=shape).astype(dtype)
        rows = np.array([image.ravel() for image in x], dtype).reshape(len(x), int(np.prod(shape[1:])))
        expect.array(layer(tensor(x)), rows, dtype=dtype, call=f"Flatten()(x), x of shape {shape}")
        got = layer.backward(tensor(2 * rows))
        expect.array(got, 2 * x, dtype=dtype, call=f"Flatten()(x), x of shape {shape}: backward(2 · the rows)")


@task("6.7")
def test_flatten_is_one_recorded_op(student, rng):
    """A recorder is called for one op, flatten, so that the gradient can flow back through it."""
    with traced(student.tensor) as trace:
        student.spatial.Flatten()(student.tensor.Tensor(rng.normal(size=(2, 1, 4, 4))))
    expect.equal([entry[0] for entry in trace.entries], ["flatten"], call="the ops a Trace records in Flatten()(x)")


# 6.8: batch normalisation


@task("6.8")
def test_batch_norm_changes_no_argument(student, rng):
    """The op leaves the images and the gradient unchanged."""
    x, grad, ones, op = (
        rng.normal(size=(2, 3, 4, 1)),
        rng.normal(size=(2, 3, 4, 1)),
        np.ones(3),
        student.spatial.batch_norm,
    )
    its_x, its_grad = student.tensor.Tensor(x), student.tensor.Tensor(grad)
    output = op.forward(student.hold(its_x, "data"), ones, ones, eps=0.1)
    expect.unchanged(its_x, x, call="x after batch_norm.forward(x, weight, bias, eps=0.1)")
    op.backward(student.hold(its_grad, "data"), output, student.hold(its_x, "data"), ones, ones, eps=0.1)
    for name, tensor, before in (("x", its_x, x), ("grad", its_grad, grad)):
        expect.unchanged(tensor, before, call=f"{name} after batch_norm.backward(grad, output, x, …)")


@task("6.8")
@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (1, 2, 3, 4), (6, 1, 1, 1)])
def test_batch_norm_with_batch_statistics(student, rng, shape):
    """Each channel is normalised over all images and pixels, and then gets its own scale and shift."""
    x, weight, bias = 5 + 3 * rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])
    for eps in (1e-5, 0.5):
        got = student.spatial.batch_norm.forward(x, weight, bias, eps=eps)
        call = f"batch_norm.forward(x of {shape}, weight, bias, eps={eps})"
        hint = "weight · (x - mean) / √(var + eps) + bias, with mean and var over the axes (0, 2, 3)"
        expect.array(got, normalize_channels(x, weight, bias, eps), call=call, hint=hint)


@task("6.8")
def test_batch_norm_with_given_statistics(student, rng):
    """If statistics are given, they are used, even for a single value."""
    mean, var, weight, bias = rng.normal(size=3), rng.uniform(0.1, 4, 3), rng.normal(size=3), rng.normal(size=3)
    for shape in ((2, 3, 4, 5), (1, 3, 1, 1)):
        x = rng.normal(size=shape)
        got = student.spatial.batch_norm.forward(x, weight, bias, eps=0.1, statistics=(mean, var))
        call = f"batch_norm.forward(x of {shape}, weight, bias, eps=0.1, statistics=(mean, var))"
        hint = "the same formula, with the given mean and var"
        expect.array(got, normalize_channels(x, weight, bias, 0.1, (mean, var)), call=call, hint=hint)


@task("6.8")
@pytest.mark.parametrize("shape", [(2, 2, 3, 2), (1, 1, 2, 3)])
def test_batch_norm_agrees_with_finite_differences(student, rng, shape):
    """The gradients of images, weight and bias agree with finite differences, for both kinds of statistics."""
    x, weight, bias = rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])
    statistics = rng.normal(size=shape[1]), rng.uniform(0.5, 2, shape[1])
    constant = (
        "given statistics are constants: grad · weight / std for x; sums of grad · normal and of grad for the others"
    )
    moving = (
        "every pixel also changes the batch's mean and variance: two terms are subtracted, each with a sum divided by "
        "the number of values in a channel"
    )
    for given, hint in ((statistics, constant), (None, moving)):
        call = f"batch_norm.backward, x of {shape}, eps=0.3, {'batch' if given is None else 'given'} statistics"
        check_gradient(student.spatial.batch_norm, x, weight, bias, eps=0.3, statistics=given, call=call, hint=hint)


@task("6.8")
def test_batch_norm_in_float32(student, rng):
    """Float32 stays float32, forward and backward, and a large mean does not spoil the variance."""
    x = (3000 + rng.normal(size=(4, 2, 6, 5))).astype("float32")
    weight, bias, grad = (rng.normal(size=s).astype("float32") for s in (2, 2, x.shape))
    op, call = student.spatial.batch_norm, "batch_norm in float32, x with mean 3,000 and standard deviation 1"
    wanted = normalize_channels(x.astype(float), weight, bias, 1e-5)
    hint = "use the mean of (x - mean)²; mean(x²) - mean(x)² loses all its digits here"
    output = op.forward(x, weight, bias, eps=1e-5)
    expect.array(output, wanted, dtype="float32", rtol=1e-2, atol=1e-2, call=call, hint=hint)
    got = op.backward(grad, output, x, weight, bias, eps=1e-5)
    for name, its_grad in zip(("x", "weight", "bias"), got, strict=True):
        expect.equal(str(np.asarray(its_grad).dtype), "float32", call=f"the dtype of the gradient of {name}")
    # In float32 the sum is about 1e-3, and above 1e-2 for one seed in a hundred. A forgotten term leaves about 10.
    expect.array(got[0].sum(axis=(0, 2, 3)), [0, 0], atol=0.1, call="the sum of the gradient of x in each channel")


@task("6.8")
def test_batch_norm_refuses_what_does_not_fit(student):
    """A wrong number of channels, or one value per channel without given statistics, raises a ValueError."""
    call, op, ones = student.tensor.apply, student.spatial.batch_norm, np.ones(3)
    for shape in ((2, 2, 4, 4), (2, 3), (1, 3, 1, 1)):
        with expect.raises(ValueError, mentions=(str(shape),), call=f"batch_norm of {shape} and weights of (3,)"):
            call(op, np.ones(shape), ones, ones, eps=1e-5)
    got = call(op, np.ones((1, 3, 2, 1)), ones, ones, eps=1e-5)
    expect.array(got, np.ones((1, 3, 2, 1)), call="batch_norm of ones with weight 1 and bias 1")


# 6.9: the BatchNorm2d layer


@task("6.9")
def test_batch_norm_layer_starts_neutral(student, rng):
    """BatchNorm2d starts in training mode with scale 1, shift 0, and float32 running statistics (not parameters)."""
    layer, x = student.spatial.BatchNorm2d(3), rng.normal(2, 3, (4, 3, 5, 5))
    expect.equal(layer.training, True, call="BatchNorm2d(3).training")
    expect.equal([p.shape for p in layer.parameters()], [(3,), (3,)], call="the shapes of BatchNorm2d(3).parameters()")
    wanted = normalize_channels(x, np.ones(3), np.zeros(3), 1e-5)
    expect.array(layer(student.tensor.Tensor(x)), wanted, call="BatchNorm2d(3)(x), x of shape (4, 3, 5, 5)")
    call = "after BatchNorm2d(3)(x), x of shape (4, 3, 5, 5)"
    hint = "nine tenths of the old value plus one tenth of its channel's new one; the variance divides by n - 1"
    mean, var = 0.1 * x.mean(axis=(0, 2, 3)), 0.9 + 0.1 * x.var(axis=(0, 2, 3), ddof=1)
    same = "It did not change: give the layer's own Tensor a new `.data`. A local name changes nothing in the layer."
    swapped = "momentum is the weight of the batch: (1 - momentum) · running + momentum · batch."
    traps = {same: np.zeros(3), swapped: 9 * mean}
    expect.array(layer.running_mean, mean, dtype="float32", call=f"running_mean {call}", hint=hint, traps=traps)
    traps = {same: np.ones(3), swapped: 0.1 + 9 * (var - 0.9)}
    expect.array(layer.running_var, var, dtype="float32", call=f"running_var {call}", hint=hint, traps=traps)
    call = "the number of parameters, which do not include running statistics"
    expect.equal(len(layer.parameters()), 2, call=call)


@task("6.9")
def test_batch_norm_layer_follows_its_batches(student, rng):
    """In training, each batch is normalised separately and updates the running mean and (unbiased) variance."""
    layer = student.spatial.BatchNorm2d(2, eps=0.2, momentum=0.3)
    draw_parameters(layer, rng)
    weight, bias, mean, var = values(layer.weight), values(layer.bias), np.zeros(2), np.ones(2)
    for shape in ((2, 2, 3, 4), (1, 2, 2, 1), (5, 2, 1, 1)):
        x = rng.normal(3, 2, shape)
        wanted = normalize_channels(x, weight, bias, 0.2)
        call = f"layer = BatchNorm2d(2, eps=0.2, momentum=0.3); …; layer(x of {shape})"
        expect.array(layer(student.tensor.Tensor(x)), wanted, call=call)
        mean, var = 0.7 * mean + 0.3 * x.mean(axis=(0, 2, 3)), 0.7 * var + 0.3 * x.var(axis=(0, 2, 3), ddof=1)
        expect.array(layer.running_mean, mean, dtype="float32", call=f"{call}; layer.running_mean")
        hint = "the variance that divides by n - 1"
        expect.array(layer.running_var, var, dtype="float32", call=f"{call}; layer.running_var", hint=hint)


@task("6.9")
def test_batch_norm_layer_in_evaluation(student, rng):
    """In evaluation, the running statistics are used and do not change, so images do not affect each other."""
    layer, tensor = student.spatial.BatchNorm2d(2, momentum=0.5), student.tensor.Tensor
    layer(tensor(rng.normal(3, 2, (4, 2, 3, 3))))
    mean, var = values(layer.running_mean), values(layer.running_var)
    layer.training = False
    x, call = rng.normal(size=(5, 2, 3, 4)), "layer.training = False; layer(x)"
    wanted = normalize_channels(x, np.ones(2), np.zeros(2), 1e-5, (mean.astype(float), var.astype(float)))
    expect.array(layer(tensor(x)), wanted, call=call, hint="use the running statistics")
    expect.array(layer(tensor(x[2:3, :, :1, :1])), wanted[2:3, :, :1, :1], call=f"{call}, with one pixel of x")
    expect.array(layer.running_mean, mean, rtol=0, atol=0, call=f"{call}; layer.running_mean")
    expect.array(layer.running_var, var, rtol=0, atol=0, call=f"{call}; layer.running_var")
    layer.training = True
    wanted = normalize_channels(x, np.ones(2), np.zeros(2), 1e-5)
    expect.array(layer(tensor(x)), wanted, call="layer.training = True; layer(x)", hint="use batch statistics")


@task("6.9")
def test_batch_norm_layer_names_its_buffers(student, rng):
    """buffers() returns the running statistics themselves, so copying them carries over what was learned."""
    layer, fresh = student.spatial.BatchNorm2d(2), student.spatial.BatchNorm2d(2)
    for _ in range(3):
        layer(student.tensor.Tensor(rng.normal(3, 2, (4, 2, 3, 3))))
    call, hint = "BatchNorm2d(2).buffers()", "return a list of the two tensors themselves, running mean and variance"
    expect.equal([b.shape for b in layer.buffers()], [(2,), (2,)], call=f"the shapes of {call}", hint=hint)
    for buffer, its in zip(layer.buffers(), (layer.running_mean, layer.running_var), strict=True):
        expect.array(buffer, values(its), rtol=0, atol=0, call=call, hint="the mean first, then the variance")
    network = student.layers.Sequential(fresh)
    for buffer, carried in zip(network.buffers(), layer.buffers(), strict=True):
        buffer.data = values(carried)
    fresh.training = layer.training = False
    x = student.tensor.Tensor(rng.normal(size=(2, 2, 3, 4)))
    call = "a fresh BatchNorm2d(2) in evaluation, after buffer.data = … for each of its buffers"
    expect.array(fresh(x), values(layer(x)), call=call, hint=hint)


@task("6.9")
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_layer_passes_gradients_back(student, rng, training):
    """Backward follows the mode of the latest forward pass, adds to gradients, and does not change its arguments."""
    layer, tensor = student.spatial.BatchNorm2d(2, eps=0.1), student.tensor.Tensor
    layer(tensor(rng.normal(3, 2, (4, 2, 3, 3))))
    draw_parameters(layer, rng)
    weight, bias = values(layer.weight), values(layer.bias)
    statistics = None if training else tuple(values(s).astype(float) for s in (layer.running_mean, layer.running_var))
    layer.training, sums = training, [np.zeros(2), np.zeros(2)]
    for _ in range(2):
        x, grad = rng.normal(size=(2, 2, 3, 2)), rng.normal(size=(2, 2, 3, 2))

        def compute_loss(x=x, weight=weight, bias=bias, grad=grad):
            return (normalize_channels(x, weight, bias, 0.1, statistics) * grad).sum()

        its_x, its_grad = tensor(x), tensor(grad)
        layer(its_x)
        layer.training = not training
        call = f"layer = BatchNorm2d(2, eps=0.1); layer.training = {training}; layer(x)"
        got = layer.backward(its_grad)
        hint = "use the attributes of the latest forward pass"
        expect.array(
            got,
            differentiate_numerically(compute_loss, x=x),
            rtol=1e-4,
            atol=1e-6,
            call=f"{call}; layer.backward(grad)",
            hint=hint,
        )
        for what, its, before in (("x", its_x, x), ("grad", its_grad, grad)):
            hint = "do not change any argument"
            expect.array(its, before, rtol=0, atol=0, call=f"{call}; layer.backward(grad); {what}", hint=hint)
        layer.training = training
        for index, name in enumerate(("weight", "bias")):
            sums[index] = sums[index] + differentiate_numerically(
                compute_loss, **{name: {"weight": weight, "bias": bias}[name]}
            )
            got = getattr(layer, name).grad
            expect.array(got, sums[index], rtol=1e-4, atol=1e-6, call=f"{name}.grad after another backward")


@task("6.9")
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_layer_keeps_float32(student, rng, training):
    """In float32, output and gradients are float32 in both modes, even for integers; a recorder gets one op."""
    layer, tensor = student.spatial.BatchNorm2d(2), student.tensor.Tensor
    layer(tensor(rng.normal(size=(4, 2, 3, 3)).astype("float32")))
    layer.training = training
    for x in (rng.normal(size=(4, 2, 3, 3)).astype("float32"), rng.integers(-9, 9, (4, 2, 3, 3))):
        with traced(student.tensor) as trace:
            output = layer(tensor(x))
        call = f"layer.training = {training}; layer(x of {x.dtype})"
        expect.equal([entry[0] for entry in trace.entries], ["batch_norm"], call=f"the ops a Trace records in {call}")
        hint = "running statistics in float64 promote everything that they are combined with to float64"
        expect.equal(str(output.dtype), "float32", call=f"the dtype of {call}", hint=hint)
        got = layer.backward(tensor(np.ones(x.shape, "float32")))
        expect.equal(str(got.dtype), "float32", call=f"the dtype of the gradient after {call}", hint=hint)


# 6.10 and 6.11: the recipe of milestone 2


@task("6.10")
def test_recipe_builds_from_the_generator_alone(student):
    """The same seed builds the same network, and a different seed builds a different one."""
    recipes.check_build_is_seeded(student, RECIPE)


@task("6.10")
def test_recipe_scales_pixels(student):
    """The pixels that scaled returns are float32, with mean 0 and variance 1 over all of MNIST, approximately."""
    images = np.repeat(np.array([0, 33, 112, 255], "uint8"), 784).reshape(4, 1, 28, 28)
    hint = "divide by 255, subtract MNIST's mean of 0.13, and divide by its standard deviation of 0.31"
    call = "scaled(four images of equal pixels: 0, 33, 112 and 255)"
    got = student.recipe("06_spatial").scaled(images)
    expect.array(got, (images / 255 - 0.13) / 0.31, dtype="float32", rtol=0.05, atol=0.05, call=call, hint=hint)


@task("6.10")
def test_recipe_predicts_probabilities(student, rng):
    """The recipe's predict returns ten probabilities for each image, whatever the other images are."""
    recipes.check_probabilities(student, rng, RECIPE)


@task("6.10")
def test_recipe_shows_its_feature_maps(student, rng):
    """feature_maps returns a map for each kernel of the first convolution, and different maps for a different image."""
    recipes.check_feature_maps(student, rng, RECIPE)


@task("6.10")
def test_recipe_is_at_chance_before_training(student, rng):
    """A fresh network is not confident: its mean loss is near that of guessing, ln 10."""
    recipes.check_untrained_loss(student, rng, RECIPE)


@task("6.11")
def test_moved_images_are_the_same_images(student, rng):
    """Each image becomes one of its nine shifts by up to a pixel; all nine occur, and the argument is unchanged."""
    recipe, images = student.recipe("06_spatial"), rng.integers(0, 256, (300, 1, 28, 28)).astype("uint8")
    held = student.tensor.Tensor(images)
    got = expect.pull(recipe.moved(held.data, student.rng(int(rng.integers(1000)))), call="moved(300 images, rng)")
    expect.equal(str(got.dtype), "uint8", call="the dtype of moved(images of uint8, rng)")
    shifts = [np.roll(images, (i, j), axis=(2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    expect.equal(got.shape, images.shape, call="moved(images, rng).shape")
    which = np.stack([(got == shift).all(axis=(1, 2, 3)) for shift in shifts])
    expect.equal(int(which.sum()), 300, call="how many of 300 moved images are one of their nine shifts")
    share = which.mean(axis=1)
    fair = share.min() > 0.03 and share.max() < 0.25
    expect.that(bool(fair), call="the frequencies of the nine shifts", got=share, expected="about one in nine each")
    expect.array(held, images, call="the images after moved(images, rng)")


@task("6.11")
def test_recipe_trains(student, rng):
    """Training on a few dark and bright images lowers the loss, changes every parameter, and reports its progress."""
    recipes.check_loss_falls(student, rng, RECIPE, 64)


@task("6.11")
def test_recipe_learns_where_a_square_is(student, rng):
    """From 256 images, the network learns in which of four positions the bright square is, and reports its progress."""
    recipes.check_simple_task_is_learned(student, rng, RECIPE)


# What the tests compute for themselves


def iterate_window_positions(shape, size, stride, padding=(0, 0)):
    """Yield the row and column of each window position in padded images, and the index of the window there."""
    height, width = (n + 2 * p for n, p in zip(shape[2:], padding, strict=True))
    rows, columns = range(0, height - size[0] + 1, stride[0]), range(0, width - size[1] + 1, stride[1])
    for (r, top), (c, left) in product(enumerate(rows), enumerate(columns)):
        yield r, c, (..., slice(top, top + size[0]), slice(left, left + size[1]))


def pad_images(x, padding):
    """Return the images in a frame of zeros."""
    images = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]), x.dtype)
    crop_padding(images, padding)[...] = x
    return images


def crop_padding(x, padding):
    """Return the images without their frame."""
    return x[:, :, padding[0] : x.shape[2] - padding[0], padding[1] : x.shape[3] - padding[1]]


def correlate_windows(x, weight, stride, padding):
    """Return the cross-correlation in float64, computed one kernel position after another."""
    images, weight, results = pad_images(x.astype(float), padding), weight.astype(float), {}
    for r, c, at in iterate_window_positions(x.shape, weight.shape[2:], stride, padding):
        results[r, c] = np.einsum("nchw,ochw->no", images[at], weight)
    return stack_window_results(results)


def compute_correlation_gradients(grad, x, weight, stride, padding):
    """Return the gradients of images, kernels and bias, computed one kernel position after another."""
    images, weight, grad = pad_images(x.astype(float), padding), weight.astype(float), grad.astype(float)
    grad_images, grad_weight = np.zeros(images.shape), np.zeros(weight.shape)
    for r, c, at in iterate_window_positions(x.shape, weight.shape[2:], stride, padding):
        grad_weight += np.einsum("no,nchw->ochw", grad[:, :, r, c], images[at])
        grad_images[at] += np.einsum("no,ochw->nchw", grad[:, :, r, c], weight)
    return crop_padding(grad_images, padding), grad_weight, np.einsum("nohw->o", grad)


def pool_windows(x, size, stride, function):
    """Apply `function` to each window, in float64."""
    results = {
        (r, c): function(x[at].astype(float), axis=(2, 3))
        for r, c, at in iterate_window_positions(x.shape, size, stride)
    }
    return stack_window_results(results)


def stack_window_results(results):
    """Return the results at each (row, column) as one array, with rows and columns as its last two axes."""
    rows, columns = max(results)
    return np.stack([np.stack([results[r, c] for c in range(columns + 1)], -1) for r in range(rows + 1)], -2)


def normalize_channels(x, weight, bias, eps, statistics=None):
    """Return batch normalisation of `x`, computed channel by channel."""
    output = np.empty(x.shape)
    for c in range(x.shape[1]):
        mean, var = (x[:, c].mean(), x[:, c].var()) if statistics is None else (statistics[0][c], statistics[1][c])
        output[:, c] = (x[:, c] - mean) / (var + eps) ** 0.5 * weight[c] + bias[c]
    return output


def differentiate_numerically(function, **argument):
    """Return the gradient of a function of one array, from central differences."""
    ((name, x),) = argument.items()
    result = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = x.copy()
            moved[index] += step
            ends.append(function(**{name: moved}))
        result[index] = (ends[0] - ends[1]) / 2e-6
    return result


def describe_convolution(case):
    """Describe a case of CONVOLUTIONS in words."""
    shape, kernels, stride, padding = case
    return f"x of shape {shape}, kernels {kernels}, stride={stride}, padding={padding}"
