"""The tests of module 13: profile, scratch memory, blocks, threads, compiled loops, layers, an optimised network.

The tests check values only, never times. Expected values are computed in the grader's process, in float64, in different
ways: sums over kernel positions, loops over windows, finite differences.
"""

import itertools
import math
from contextlib import contextmanager

import numpy as np
import pytest

from grading.testing import check_gradient, expect, recipes, task, traced, values


def explain_recipe_failure(recipe, network, images):
    """Return a hint if the first convolution of a network that has not learned holds no whitening kernels."""
    got = values(network.parameters()[0])
    kernels = values(recipe.whitening_kernels(expect.pull(recipe.normalize(images), call="normalize"), len(got) // 2))
    if got.shape[1:] == kernels.shape[1:] and np.allclose(got, np.concatenate([kernels, -kernels]), atol=1e-2):
        return None
    return (
        "after training, the first convolution does not hold the whitening kernels of the normalised images and their "
        "negatives: write them into network.parameters()[0] first, and give the optimiser only the other parameters"
    )


RECIPE = recipes.ImageRecipe(
    "13_kernels", (3, 32, 32), sides=2, reports_the_end=True, explain_failure=explain_recipe_failure
)

CONVOLUTIONS = [  # images, (out, kh, kw), stride, padding
    ((5, 3, 9, 8), (4, 3, 3), (1, 1), (1, 1)),
    ((3, 1, 7, 5), (3, 2, 4), (2, 1), (0, 4)),  # padding on both sides of a run
    ((1, 4, 6, 11), (2, 5, 1), (1, 3), (4, 0)),
    ((3, 2, 10, 6), (5, 3, 3), (3, 2), (2, 1)),
    ((4, 2, 5, 5), (1, 1, 1), (2, 2), (1, 1)),
    ((2, 1, 3, 1), (1, 3, 3), (1, 1), (1, 1)),  # no pixel under some positions of the kernel
]


def view_taps(x, kernel, stride):
    """Yield (i, j, view), where view is the pixels under position (i, j) of the kernel, (N, C, out_h, out_w)."""
    out_h, out_w = ((size - k) // s + 1 for size, k, s in zip(x.shape[2:], kernel, stride, strict=True))
    for i, j in np.ndindex(*kernel):
        yield i, j, x[:, :, i : i + stride[0] * out_h : stride[0], j : j + stride[1] * out_w : stride[1]]


def view_padded_taps(x, kernel, stride, padding):
    """Yield (i, j, view) like `view_taps`, for a padded copy of the images."""
    return view_taps(np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)), kernel, stride)


def convolve(x, weight, bias, stride, padding):
    """Return the convolution in float64, computed one kernel position after another."""
    x, weight = x.astype(float), weight.astype(float)
    output = sum(
        np.einsum("nchw,oc->nohw", part, weight[:, :, i, j])
        for i, j, part in view_padded_taps(x, weight.shape[2:], stride, padding)
    )
    return output if bias is None else output + bias.astype(float)[:, None, None]


def convolve_backward(grad, x, weight, stride, padding):
    """Return the gradients of images, weight and bias in float64."""
    grad, weight = grad.astype(float), weight.astype(float)
    padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]))
    grad_weight = np.zeros_like(weight)
    for i, j, part in view_padded_taps(x.astype(float), weight.shape[2:], stride, padding):
        grad_weight[:, :, i, j] = np.einsum("nohw,nchw->oc", grad, part)
    for i, j, view in view_taps(padded, weight.shape[2:], stride):
        view += np.einsum("nohw,oc->nchw", grad, weight[:, :, i, j])
    return remove_padding(padded, padding, x.shape), grad_weight, grad.sum(axis=(0, 2, 3))


def remove_padding(padded, padding, shape):
    """Return padded images without their padding."""
    top, left = padding
    return padded[:, :, top:, left:][:, :, : shape[2], : shape[3]]


@pytest.fixture
def small_cache(student):
    """Make the cache so small that no row of even small images fits."""
    kernels = student.kernels
    before = kernels.CACHE
    kernels.CACHE = 100
    yield
    kernels.CACHE = before


EXPLAINED = ("BrokenBarrier", "Attribute", "Index", "Runtime", "Type", "Value", "ZeroDivision")
"""The exceptions of student code, without "Error", for which a test has a hint."""


@contextmanager
def explain_error(call, expected, hint):
    """Say what a call of student code should do if it raises an exception that says only what a value cannot do."""
    try:
        yield
    except Exception as error:
        kind = expect.get_exception_type_name(error)
        if kind.removesuffix("Error") not in EXPLAINED or isinstance(error, expect.NO_ANSWER):
            raise
        raise expect.Mismatch(call=call, got=f"{kind}: {error}", expected=expected, hint=hint) from error


def describe_places(wrong, axes):
    """Say where elements are wrong along each of these axes: "channel 1 of 4" if it is not everywhere."""
    parts = []
    for name, (axis, size) in zip(axes, enumerate(wrong.shape), strict=True):
        places = np.flatnonzero(wrong.any(axis=tuple(a for a in range(len(axes)) if a != axis))).tolist()
        if 0 < len(places) < size:
            parts.append(f"{name} {', '.join(map(str, places[:4]))}{', …' if len(places) > 4 else ''} of {size}")
    return f"Wrong only at {' and '.join(parts)}. " if parts else ""


def find_wrong_elements(got, wanted, tolerance, call):
    """Return which elements differ by more than the tolerance, or none if the shapes differ."""
    got = expect.pull(got, call=call)
    if got.shape != wanted.shape:
        return np.zeros(wanted.shape, bool)
    return ~np.isclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


# 13.1: a per-op profile


def make_ticking_clock(student):
    """Return a clock in the student's process that starts below 0 and advances by one second each time it is read."""
    readings = student.hold(student.tensor.Trace(), "entries")
    readings.extend([float(second) for second in reversed(range(-1000, 0))])
    return readings.pop


@task("13.1")
def test_an_op_gets_the_time_since_the_op_before(student):
    """Times of ops with the same name add up; the time between two ops counts for the second one."""
    tensor = student.tensor
    now = tensor.Tensor(np.array(100.0))

    def advance_clock(seconds):
        now.data = np.array(now.item() + seconds)

    x = tensor.Tensor([1.0, 2.0])
    profile = student.kernels.Profile(now.item)
    hint = (
        "add the time since the last reading, self.last, to what the op's name has so far, at first 0. Read the clock "
    )
    hint += "again at the end of `record`; no time outside the block counts"
    with profile:
        for seconds, op in ((3.0, "exp"), (0.25, "sum"), (10.0, "sum"), (2.5, "exp")):
            advance_clock(seconds)
            with explain_error(
                f"{op} inside a profile", "its time recorded; self.outer, the recorder before, may be None", hint
            ):
                getattr(x, op)()
        advance_clock(50.0)
    x.exp()
    call = "profile.seconds after exp, sum, sum and exp, which end 3, 0.25, 10 and 2.5 s after the previous reading"
    expect.equal(profile.seconds, {"exp": 5.5, "sum": 10.25}, call=call, hint=hint)


@task("13.1")
def test_backward_is_timed_and_the_recorder_before_goes_on(student):
    """A tape still computes the correct gradients, and each backward rule's time is recorded under its own name."""
    tensor, autograd = student.tensor, student.autograd
    x = tensor.Tensor([1.0, 3.0])
    autograd.require_grad([x])
    profile = student.kernels.Profile(make_ticking_clock(student))
    with autograd.Tape():
        with profile:
            loss = (student.activations.ReLU()(x * x) * x).sum()
        later = (x * x).sum()
    call = "the gradient of (ReLU(x · x) · x).sum() at [1, 3], recorded through a profile"
    hint = "pass each op on to the outer recorder, if there is one, with a backward that returns what its rule returns"
    with explain_error(call, "[3, 27]", hint):
        loss.backward()
    expect.array(x.grad, [3.0, 27.0], call=call, hint=hint)
    wanted = {
        f"{op}{half}": n for op, n in (("multiply", 2.0), ("relu", 1.0), ("sum", 1.0)) for half in ("", " backward")
    }
    got = dict(sorted(profile.seconds.items()))
    hint = "read the clock when a rule begins and when it ends, and add the difference to what its name has so far, at "
    hint += "first 0; backward_of(op) finds module 09's rules"
    if any(got.get(name) != wanted[name] for name in ("multiply", "relu", "sum")):
        hint = (
            "add the time since the last reading, self.last, and read the clock again when the outer recorder is done"
        )
    expect.equal(
        got,
        dict(sorted(wanted.items())),
        call="profile.seconds with a clock that advances by 1 s whenever it is read",
        hint=hint,
    )
    expect.equal(later.requires_grad, True, call="requires_grad of what the tape recorded after the profile")


@task("13.1")
def test_what_the_outer_recorder_takes_counts_for_no_op(student):
    """An outer recorder that reads the same clock receives every op, and the time it takes is not counted."""
    clock = make_ticking_clock(student)
    x = student.tensor.Tensor([[1.0, 2.0]])
    outer, profile = student.kernels.Profile(clock), student.kernels.Profile(clock)
    with outer:
        with profile:
            total = (x + x).sum(axis=1)
            _ = total < total  # an op without a backward
        _ = x.exp()
    wanted = {"add": 1.0, "sum": 1.0, "less": 1.0}
    hint = "read the clock again when the outer recorder has returned"
    expect.equal(profile.seconds, wanted, call="the seconds measured by a nested profile", hint=hint)
    hint = "pass every op on to the outer recorder, if there is one, and only ops of the block to the profile"
    received = sorted(outer.seconds)
    expect.equal(received, ["add", "exp", "less", "sum"], call="the ops that the outer profile received", hint=hint)


@task("13.1")
def test_an_op_without_a_rule_stays_without_one(student):
    """Even inside a profile, backward through an op without a rule raises a RuntimeError that names the op."""
    tensor, autograd = student.tensor, student.autograd
    x = tensor.Tensor([1.0, 2.0])
    autograd.require_grad([x])
    lonely = tensor.Op("lonely", tensor.exp.forward)
    with autograd.Tape(), student.kernels.Profile():
        loss = tensor.apply(lonely, x).sum()
    call, hint = "backward through an op without a rule", "if backward_of(op) is None, the op passed on has no backward"
    with expect.raises(RuntimeError, call=call, mentions=("lonely",), hint=hint):
        loss.backward()


# 13.2: reusable memory


def read_buffer_addresses(student, space):
    """Return (address, bytes) of every idle buffer."""
    idle = student.hold(space, "idle")
    buffers = [student.hold_result(idle.pop) for _ in range(min(len(idle), 1000))]
    found = sorted((buffer.ctypes.data, buffer.nbytes) for buffer in buffers)
    for buffer in reversed(buffers):
        idle.append(buffer)
    return found


MAKE_BUFFER = (
    "make a new buffer of `size` bytes if `idle` is empty, or if the buffer from `idle` has fewer than `size` bytes"
)


@task("13.2")
def test_a_buffer_is_lent_and_used_again(student):
    """A buffer that is in use is not idle; afterwards it is idle again, and the next call to borrow lends it."""
    space = student.kernels.Workspace()
    call, view = (
        'borrow((3, 5), "float64")',
        "yield the first `size` bytes of the buffer, as an array of this dtype and shape",
    )
    with explain_error(call, "120 bytes as an array", MAKE_BUFFER), space.borrow((3, 5), "float64") as array:
        expect.equal((array.shape, array.dtype), ((3, 5), np.dtype("float64")), call=call, hint=view)
        call = "the number of idle buffers while the only one is in use"
        expect.equal(len(space.idle), 0, call=call, hint="a buffer goes to `idle` only when its block has ended")
    first = read_buffer_addresses(student, space)
    call = "the number of idle buffers when the block has ended"
    expect.equal(len(first), 1, call=call, hint="append the buffer to `idle` when its block ends")
    hint = "take a buffer out of `idle`, and make a new one only if that one has fewer than `size` bytes"
    for size, shape, dtype in ((32, (2, 2, 2), "float32"), (120, (3, 5), "float64")):
        call = f'borrow({shape}, "{dtype}")'
        told = f"the first {size} of the buffer's 120 bytes"
        with explain_error(call, told, hint), space.borrow(shape, dtype) as array:
            expect.equal((array.shape, array.dtype), (shape, np.dtype(dtype)), call=call, hint=view)
            told = "the number of idle buffers while the only one is in use again"
            expect.equal(len(space.idle), 0, call=told, hint=hint)
        call = f"(address, bytes) of the idle buffer, of 120 bytes, after it held an array of {size} bytes"
        expect.equal(read_buffer_addresses(student, space), first, call=call, hint=hint)


@task("13.2")
def test_two_users_never_share(student):
    """Nested blocks get separate memory, however often they run, and there are never more than two buffers."""
    space = student.kernels.Workspace()
    for round_number in range(3):
        with space.borrow((100,), "float32"):
            with space.borrow((50,), "float64"):
                call, hint = "the number of idle buffers while both are in use", "`pop` takes the buffer out of `idle`"
                expect.equal(len(space.idle), 0, call=call, hint=hint)
            call, hint = "the number of idle buffers while one of two is in use", "append it when its own block ends"
            expect.equal(len(space.idle), 1, call=call, hint=hint)
        (one, size), (two, _) = read_buffer_addresses(student, space)
        expect.that(one + size <= two, call=f"two buffers after round {round_number + 1}", got=f"at {one} and {two}, "
                    f"{size} bytes long", expected="memory that does not overlap")  # fmt: skip


@task("13.2")
def test_an_error_gives_the_buffer_back(student):
    """A block that fails leaves its buffer idle, and its error reaches the caller."""
    space = student.kernels.Workspace()
    call = "a block with a borrowed array that raises"
    with expect.raises(RuntimeError, call=call, mentions=("on purpose",)), space.borrow((4,), "float32"):
        raise RuntimeError("on purpose")
    hint = "append the buffer in `finally`, which also runs after an error"
    expect.equal(len(space.idle), 1, call="the number of idle buffers after a block that failed", hint=hint)


@task("13.2")
def test_what_is_too_small_is_replaced(student):
    """A larger array needs a larger buffer, which replaces the small one; arrays of 0 or 1 elements work as well."""
    space = student.kernels.Workspace()
    for shape in ((2,), (1000,), (0, 3), ()):
        call = f'the shape of borrow({shape}, "float64")'
        with explain_error(call, str(shape), MAKE_BUFFER), space.borrow(shape, "float64") as array:
            expect.equal(array.shape, shape, call=call)
    buffers, call = (
        read_buffer_addresses(student, space),
        "the bytes of the idle buffers after 2, 1,000, 0 and 1 floats",
    )
    expect.equal([size for _, size in buffers], [8000], call=call, hint=f"{MAKE_BUFFER}. A larger one is lent again")


# 13.3: blocks that fit the cache


def list_bounds(slices):
    """Return (start, stop) of each slice."""
    return [(part.start, part.stop) for part in slices]


def check_row_blocks(kernels, arguments, wanted, call):
    """Compare the blocks with the wanted (start, stop), and say which bound is wrong."""
    with explain_error(call, str(wanted), "a row may have 0 bytes: then one block holds all rows"):
        blocks = kernels.row_blocks(*arguments)
    got, size = list_bounds(blocks), wanted[0][1]
    hint = f"a block has the number of rows that fit in CACHE, at least `smallest`: {size} here"
    if got and got[0][0] != 0:
        hint = "the first block begins at row 0"
    elif [start for start, _ in got] == [start for start, _ in wanted]:
        hint = (
            f"a block that begins at `start` ends {size} rows later here, but never after row {arguments[0]}, the end"
        )
    expect.equal(got, wanted, call=call, hint=hint)


@task("13.3")
def test_blocks_hold_what_the_cache_holds(student, rng):
    """Together the blocks hold all rows in order; each holds as many as fit in CACHE, and the last holds the rest."""
    kernels = student.kernels
    cache = kernels.CACHE
    check_row_blocks(kernels, (5, 2 * cache // 5), [(0, 2), (2, 4), (4, 5)], "row_blocks(5, CACHE · 2/5)")
    check_row_blocks(kernels, (4, cache // 2), [(0, 2), (2, 4)], "row_blocks(4, CACHE / 2)")
    check_row_blocks(kernels, (cache, 1), [(0, cache)], "row_blocks(CACHE, 1)")
    rows, size = int(rng.integers(20, 60)), int(rng.integers(2, 9))
    wanted = [(start, min(start + size, rows)) for start in range(0, rows, size)]
    row_bytes = cache // size
    check_row_blocks(kernels, (rows, row_bytes), wanted, f"row_blocks({rows}, {row_bytes})")


@task("13.3")
def test_blocks_have_a_smallest_size(student):
    """If a row is larger than the cache, each block has `smallest` rows; rows may also have 0 bytes."""
    kernels = student.kernels
    big = 3 * kernels.CACHE
    check_row_blocks(kernels, (3, big), [(0, 1), (1, 2), (2, 3)], "row_blocks(3, CACHE · 3)")
    check_row_blocks(kernels, (7, big, 3), [(0, 3), (3, 6), (6, 7)], "row_blocks(7, CACHE · 3, 3)")
    check_row_blocks(kernels, (7, kernels.CACHE // 5, 3), [(0, 5), (5, 7)], "row_blocks(7, CACHE / 5, 3)")
    check_row_blocks(kernels, (2, 0), [(0, 2)], "row_blocks(2, 0)")


# 13.4: threads of your own


def suggest_shares_fix(got, wanted):
    """Return a hint for results that are not those of all blocks in order."""
    if isinstance(got, list) and [result for result in got if result in wanted] == got:
        missing, twice = (sum(got.count(result) in some for result in wanted) for some in ((0,), range(2, 100)))
        if missing or twice:
            return (
                f"{missing} of {len(wanted)} blocks are in no share, and {twice} in more than one. Share i ends where "
                "share i + 1 begins, the first begins at block 0, and the last ends at the end. Compute each share once"
            )
    return "the results of the first share, which the calling thread computes, come first; then come the other shares'"


@task("13.4")
def test_results_come_in_the_order_of_the_blocks(student):
    """With any number of threads, the results are the same as in a loop; without blocks, the list is empty."""
    shapes = [(n, n + 1, 2) for n in range(1, 12)]
    wanted = [(2 * (n + 1), 2 * n) for n in range(1, 12)]
    for threads in (1, 2, 3, 20):
        call = f"run_blocks(fans, eleven shapes, {threads})"
        hint = "a plain loop computes the blocks if `threads` is 1; otherwise, the pool has threads - 1 threads"
        with explain_error(call, "the results of all shares, of which the calling thread computes the first", hint):
            got = student.kernels.run_blocks(student.dense.fans, shapes, threads)
        expect.equal(got, wanted, call=call, hint=suggest_shares_fix(got, wanted))
    expect.equal(student.kernels.run_blocks(student.dense.fans, [], 2), [], call="run_blocks(fans, [], 2)")


@task("13.4")
def test_blocks_really_run_at_the_same_time(student):
    """Two threads that wait for each other both arrive; afterwards no thread is left running."""
    threading = student.dataloader.threading
    before = threading.active_count()
    call = "run_blocks(barrier.wait, [20.0, 20.0], 2)"
    hint = "each of two blocks waits until the other one has also arrived: with 2 threads, a pool computes the second "
    hint += "share while the calling thread computes the first. Only threads=1 needs a loop without a pool"
    with explain_error(call, "two blocks that run at the same time", hint):
        got = student.kernels.run_blocks(threading.Barrier(2).wait, [20.0, 20.0], 2)
    expect.equal(sorted(got), [0, 1], call=call, hint=hint)
    expect.equal(threading.active_count(), before, call="the number of threads after run_blocks", hint="end the pool")


@task("13.4")
def test_an_error_reaches_the_caller(student):
    """For any number of threads, the first failed block's error is raised with its message; no thread keeps running."""
    threading = student.dataloader.threading
    before = threading.active_count()
    for threads in (1, 2, 3):
        call = f"run_blocks(fans, [(2, 3), (7,), (9,)], {threads})"
        with expect.raises(ValueError, call=call, mentions=("(7,)",)):
            student.kernels.run_blocks(student.dense.fans, [(2, 3), (7,), (9,)], threads)
        expect.equal(threading.active_count(), before, call=f"the number of threads after {call} has raised")


# 13.5: from windows to columns, compiled


def gather_columns(x, rows, kernel, stride, padding):
    """Return the columns (C, kh, kw, rows · out_w · N) of some output rows of images (N, C, H, W)."""
    taps = [part[:, :, rows].transpose(1, 2, 3, 0) for _, _, part in view_padded_taps(x, kernel, stride, padding)]
    columns = np.stack(taps, axis=1)
    return columns.reshape(x.shape[1], *kernel, -1)


def join_image_rows(x):
    """Return images (N, C, H, W) as an array (C, H, W · N)."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).reshape(x.shape[1], x.shape[2], -1)


def hold_read_only(student, array):
    """Return a read-only array on the student's side, as loops get from `runs`; Numba would compile others again."""
    held = student.hold(student.tensor.Tensor(array), "data")
    held.setflags(write=False)
    return held


UNWRITTEN = -1.0
"""What is in the scratch memory before `gather_loop` writes to it."""


def number_pixels(shape):
    """Return images (N, C, H, W) in which each pixel's number says where it is."""
    n, c, row, column = np.indices(shape)
    return (10_000 * row + 100 * column + 10 * c + n + 11).astype("float32")


def describe_pixel(number):
    """Say where the pixel with this number is."""
    if number in (0, UNWRITTEN):
        return "0, for padding" if number == 0 else f"{number:g}, as before: nothing was written here"
    if not 10 < number < 1e6:
        return f"{number:g}, which is in no image"
    row, rest = divmod(int(number) - 11, 10_000)
    return f"{number:g}: row {row}, column {rest // 100} of channel {rest // 10 % 10} of image {rest % 10}"


def find_telling_element(got, wanted):
    """Return the index of the first wrong element that is a pixel and should be one, or else of the first wrong one."""
    wrong = got != wanted
    both = wrong & (wanted > 10) & (got > 10) & (got < 1e6)
    return tuple(np.argwhere(both if both.any() else wrong)[0].tolist())


def is_row_length_wrong(moved, wide):
    """Return whether pixels are found farther away, by (output row, shift), the more rows precede them."""
    rates = {shift / r for r, shift in moved if r}
    return len(rates) == 1 and min(rates) % wide != 0 and not any(shift for r, shift in moved if r == 0)


def suggest_gather_fix(got, wanted, place, n, out_w):
    """Return a hint for an element of the columns that is not the right pixel."""
    mine, right, wide, at = float(got[place]), float(wanted[place]), out_w * n, place[:3]
    layout = (
        f"the pixels of output row first + r begin at number r · {wide} of the columns, since each output row takes "
    )
    layout += f"{wide} numbers: {out_w} positions with {n} numbers each"
    if right == UNWRITTEN:
        return f"leave alone what follows the last output row; {layout}"
    r = place[3] // wide
    row = slice(r * wide, (r + 1) * wide)
    if (got[at][row] == UNWRITTEN).all():
        return f"write every number of each output row, 0 wherever there is no pixel; {layout}"
    homes = {pixel: k for k, pixel in enumerate(wanted[at].tolist()) if pixel > 0}
    moved = [(homes[pixel] // wide, k - homes[pixel]) for k, pixel in enumerate(got[at].tolist()) if pixel in homes]
    if is_row_length_wrong(moved, wide):
        return f"output rows are too far apart or too close: {layout}"
    if right > 0 and 10 < mine < 1e6:
        (y, z), (right_y, right_z) = (divmod((int(p) - 11) // 100, 100) for p in (mine, right))
        if y != right_y and z != right_z:
            return layout
        if y != right_y:
            return "the image row follows from output row first + r, the stride, kernel row i and the padding"
        if z != right_z:
            hint = "the image column follows from output position q, the stride, kernel column j and the padding. "
            return (
                hint
                + "Only if the stride is 1 are adjacent positions on adjacent pixels, so that one run can copy them"
            )
        return "each position has n numbers, one for each image, which stay together"
    there = np.flatnonzero(wanted[at][row].reshape(out_w, n).any(axis=1)).tolist()
    if not there:
        hint = "the image row is outside the image (above row 0 or below the last), so all of this output row is 0"
        return f"{hint}; {layout}" if mine == UNWRITTEN else hint
    if not np.isin(got[at][row], wanted[at][row][wanted[at][row] > 0]).any():
        return f"the image row is inside the image, whose first row is 0, so its pixels are copied; {layout}"
    return (
        f"under kernel column {place[2]}, output positions {there[0]} to {there[-1]} of {out_w} have a pixel: `inside` "
        "tells from the image's width and out_w. Copy n numbers for each of them, and write 0 before and after them"
    )


@task("13.5")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_gather_copies_windows(student, case):
    """Every element under the kernel is at its position in the columns; padding is 0."""
    shape, (_, *kernel), stride, padding = case
    x = number_pixels(shape)
    pixels = hold_read_only(student, join_image_rows(x))
    out_h = (shape[2] + 2 * padding[0] - kernel[0]) // stride[0] + 1
    for rows in (slice(0, out_h), slice(out_h // 2, out_h)):
        wanted = gather_columns(x, rows, kernel, stride, padding)
        wanted = np.concatenate([wanted, np.full((*wanted.shape[:3], 5), UNWRITTEN, "float32")], axis=3)
        scratch = student.tensor.Tensor(np.full(wanted.shape, UNWRITTEN, "float32"))
        target = student.hold(scratch, "data")
        call = (
            f"gather_loop of output rows {rows.start} to {rows.stop - 1}, images {shape}, {kernel}, {stride}, {padding}"
        )
        hint = "a step of `range` is at least 1, and no divisor is 0: check the run's length and the operators"
        with explain_error(call, "the pixels under each kernel position", hint):
            student.kernels.gather_loop(pixels, shape[0], rows.start, rows.stop, stride, padding, target)
        got = values(scratch)
        if wrong := int((got != wanted).sum()):
            place, out_w = find_telling_element(got, wanted), (shape[3] + 2 * padding[1] - kernel[1]) // stride[1] + 1
            r, q = divmod(place[3] // shape[0], out_w)
            raise expect.Mismatch(
                call=f"columns{list(place)}, output row {rows.start} + {r}, position {q}, after {call}",
                got=f"{describe_pixel(float(got[place]))} ({wrong} of {got.size} elements are wrong)",
                expected=describe_pixel(float(wanted[place])),
                hint=suggest_gather_fix(got, wanted, place, shape[0], out_w),
            )


@task("13.5")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_scatter_finds_the_pixel_of_each_element(student, case):
    """If a single element of the columns is not 0, it is added to its pixel, or to none if it comes from padding."""
    shape, (_, *kernel), stride, padding = case
    out_h, out_w = ((shape[2 + k] + 2 * padding[k] - kernel[k]) // stride[k] + 1 for k in (0, 1))
    c, n = shape[1] - 1, shape[0] - 1
    corners, wide = [(0, 0), (kernel[0] - 1, kernel[1] - 1)], out_w * shape[0]
    layout = (
        f"output row first + r begins at number r · {wide} of the columns, since each output row takes {wide} numbers: "
    )
    layout += f"{out_w} positions with {shape[0]} numbers each"
    failures, moved = [], []
    for first, (i, j), r, q in itertools.product((out_h // 2, 0), corners, (0, 1, -1), (0, out_w - 1)):
        rows = out_h - first
        r %= rows
        columns, place = np.zeros((shape[1], *kernel, rows * wide + 5), "float32"), (r * out_w + q) * shape[0] + n
        columns[c, i, j, place] = 1
        wanted = np.zeros((shape[1], shape[2], shape[3] * shape[0]), "float32")
        row, column = (first + r) * stride[0] + i - padding[0], q * stride[1] + j - padding[1]
        if 0 <= row < shape[2] and 0 <= column < shape[3]:
            wanted[c, row, column * shape[0] + n] = 1
        image = student.tensor.Tensor(np.zeros_like(wanted))
        call = (
            f"the pixels to which scatter_loop adds channel {c}, kernel position ({i}, {j}), output row {first} + {r}, "
        )
        call += f"position {q}, image {n}: images {shape}, kernel {kernel}, stride {stride}, padding {padding}"
        hint = f"check the operators, the slices and the step of the loop; {layout}"
        with explain_error(call, describe_changed_pixels(wanted, shape[0]), hint):
            student.kernels.scatter_loop(columns, shape[0], first, out_h, stride, padding, student.hold(image, "data"))
        got = values(image)
        expect.equal(got.shape, wanted.shape, call=f"the shape of {call}")
        for _, y, z in np.argwhere(got).tolist():  # from where in the columns an element should have gone there
            r, q = (y + padding[0] - i) / stride[0] - first, (z // shape[0] + padding[1] - j) / stride[1]
            moved.append((r, (r * out_w + q) * shape[0] + z % shape[0] - place))
        if not np.array_equal(got, wanted):
            failures.append((call, got, wanted))
    if failures:
        call, got, wanted = max(failures, key=lambda failure: failure[1].any() and failure[2].any())
        raise expect.Mismatch(
            call=call,
            got=describe_changed_pixels(got, shape[0]),
            expected=describe_changed_pixels(wanted, shape[0]),
            hint=layout if is_row_length_wrong(moved, wide) else suggest_scatter_fix(got, wanted, shape[0], layout),
        )


def describe_changed_pixels(image, n):
    """Say where an image (C, H, W · n) is not 0, and what it is there if it is not 1."""
    places = [
        f"row {y}, column {z // n} of channel {c} of image {z % n}" + (f" ({value:g})" if value != 1 else "")
        for (c, y, z), value in zip(np.argwhere(image).tolist(), image[image != 0].tolist(), strict=True)
    ]
    return "; ".join([*places[:3], *(["…"] if len(places) > 3 else [])]) or "no pixel"


def suggest_scatter_fix(got, wanted, n, layout):
    """Return a hint for an element of the columns, 1, that is not added to the right pixel of an image of zeros."""
    mine, right = (np.argwhere(image).tolist() for image in (got, wanted))
    if mine == right:
        return "add each element once: `+=`, with every run of positions gone through once"
    if not right:
        return "an element from padding is dropped: its row is outside the image, or `inside` leaves out its position"
    rules = "The loop covers rows inside the image, whose first row is 0, and the positions that `inside` returns"
    if not mine:
        return f"the element is not added to what its pixel holds. {rules}, n numbers each; {layout}"
    if len(mine) > 1:
        return f"one element is added to more than one pixel: a run has n numbers for each of its positions; {layout}"
    (_, row, z), (_, right_row, right_z) = mine[0], right[0]
    if row != right_row and z != right_z:
        return layout
    if row != right_row:
        return "the image row follows from output row first + r, the stride, kernel row i and the padding"
    if z // n != right_z // n:
        hint = "the image column follows from output position q, the stride, kernel column j and the padding. "
        return hint + "Only if the stride is 1 are adjacent positions on adjacent pixels, so that one run can add them"
    return "each position has n numbers, one for each image, which stay together"


@task("13.5")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_scatter_adds_where_gather_copied(student, rng, case):
    """A pixel in several windows gets their sum added to its value; elements from padding are dropped."""
    shape, (_, *kernel), stride, padding = case
    start = rng.normal(size=shape).astype("float32")
    out_h = (shape[2] + 2 * padding[0] - kernel[0]) // stride[0] + 1
    rows = slice(out_h // 2, out_h)
    columns = rng.normal(size=gather_columns(start, rows, kernel, stride, padding).shape).astype("float32")
    padded = np.zeros((*shape[:2], shape[2] + 2 * padding[0], shape[3] + 2 * padding[1]))
    windows = columns.reshape(shape[1], *kernel, rows.stop - rows.start, -1, shape[0])
    columns = np.concatenate([columns, np.full((*columns.shape[:3], 5), np.nan, "float32")], axis=3)
    for i, j, view in view_taps(padded, kernel, stride):
        view[:, :, rows] += windows[:, i, j].transpose(3, 0, 1, 2)
    added = remove_padding(padded, padding, shape)
    image = student.tensor.Tensor(join_image_rows(start))
    target = student.hold(image, "data")
    call = f"scatter_loop for images {shape}, kernel {kernel}, stride {stride}, padding {padding}"
    hint = "Add to what the pixel holds, since it may be in several windows; ignore what follows the last output row. "
    hint += "Every kernel position, output row and position counts once"
    with explain_error(call, "the sums of the columns at their pixels", hint):
        student.kernels.scatter_loop(columns, shape[0], rows.start, rows.stop, stride, padding, target)
    wanted = join_image_rows(start + added)
    hint = (
        describe_places(find_wrong_elements(image, wanted, 1e-5, call), ("channel", "row", "number in the row")) + hint
    )
    expect.array(image, wanted, call=call, atol=1e-5, hint=hint)


# 13.6: a convolution in blocks

IMAGE_AXES = ("image", "channel", "row", "column")
BLOCK_LAYOUT = (
    "The layouts are: images and their gradient (C, H, W · N), weight (out, C · kh · kw), output and its gradient "
    "(out, out_h, out_w · N). A block's columns are (C · kh · kw, rows · out_w · N), with SPARE unused numbers after "
    "each row. At the end, the axis of the images moves to the front"
)


@task("13.6")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.usefixtures("small_cache")
def test_the_blocked_convolution_is_a_convolution(student, rng, case):
    """Forward agrees with the definition, with and without a bias, in the dtype of its input."""
    shape, (out, *kernel), stride, padding = case
    for dtype, bias in (("float32", None), ("float64", rng.normal(size=out))):
        x, weight = (rng.normal(size=s).astype(dtype) for s in (shape, (out, shape[1], *kernel)))
        inputs = (x, weight) if bias is None else (x, weight, bias)
        call = f"blocked_conv2d.forward of images {shape} and weight {weight.shape}, stride {stride}, padding {padding}"
        call += ", without a bias" if bias is None else f", with a bias ({out},)"
        rtol = 1e-4 if dtype == "float32" else 1e-10
        wanted = convolve(x, weight, bias, stride, padding)
        with explain_error(call, f"an output of shape {wanted.shape}", BLOCK_LAYOUT):
            got = student.kernels.blocked_conv2d.forward(*inputs, stride=stride, padding=padding)
        got = expect.pull(got, call=call)
        hint = describe_places(find_wrong_elements(got, wanted, rtol, call), IMAGE_AXES)
        if bias is None:
            hint += (
                f"Every block of rows gathers its own columns (n is the number of images, {len(x)} here) and writes "
            )
            hint += "the weight's matrix times these columns into its rows of the output"
        else:
            hint += "Without a bias the output is right: add bias[o] to all numbers of output channel o"
        if got.shape != wanted.shape:
            hint = BLOCK_LAYOUT
        expect.array(got, wanted, call=call, rtol=rtol, atol=rtol, dtype=dtype, hint=hint)


@task("13.6")
@pytest.mark.usefixtures("small_cache")
def test_any_number_of_threads_gives_the_same_output(student, rng):
    """With 1, 2 and 3 threads, the results have the same bits, and no thread is left running."""
    x, weight = (rng.normal(size=s).astype("float32") for s in ((4, 3, 17, 9), (6, 3, 3, 3)))
    threading, op = student.dataloader.threading, student.kernels.blocked_conv2d
    before = threading.active_count()
    one = op.forward(x, weight, stride=(1, 1), padding=(1, 1), threads=1)
    for threads in (2, 3):
        got = op.forward(x, weight, stride=(1, 1), padding=(1, 1), threads=threads)
        call, hint = (
            f"blocked_conv2d.forward with threads={threads}",
            "each block borrows memory and writes its own rows",
        )
        expect.array(got, one, rtol=0, atol=0, call=call, hint=hint)
    expect.equal(threading.active_count(), before, call="the number of threads afterwards")


@task("13.6")
def test_a_result_is_not_lent_again(student, rng):
    """An output keeps its values, whatever is computed afterwards, because only scratch memory is reused."""
    apply, op = student.tensor.apply, student.kernels.blocked_conv2d
    x, other, weight = (rng.normal(size=s).astype("float32") for s in ((2, 2, 6, 6), (2, 2, 6, 6), (3, 2, 3, 3)))
    weight = student.tensor.Tensor(weight)
    first = apply(op, x, weight, stride=(1, 1), padding=(0, 0))
    before = values(first)
    for _ in range(3):
        apply(op, other, weight, stride=(1, 1), padding=(0, 0))
    call, hint = (
        "an output of blocked_conv2d after three more calls",
        "make a new array for each output; borrow the columns",
    )
    expect.array(first, before, rtol=0, atol=0, call=call, hint=hint)


@task("13.6")
def test_wrong_images_are_refused(student):
    """A wrong number of channels, a missing axis, or a kernel that does not fit raises a ValueError."""
    apply, op = student.tensor.apply, student.kernels.blocked_conv2d
    weight = np.ones((2, 3, 3, 3))
    for shape, padding in (((1, 2, 5, 5), (0, 0)), ((3, 5, 5), (0, 0)), ((1, 3, 2, 5), (0, 0))):
        with expect.raises(ValueError, call=f"blocked_conv2d of images {shape} and weight (2, 3, 3, 3)"):
            apply(op, np.ones(shape), weight, stride=(1, 1), padding=padding)
    call = "the shape of blocked_conv2d of no images"
    hint = "there may be no images: the layout is the same, with sizes of 0, but the loop's n must be at least 1"
    with explain_error(call, "(0, 2, 5, 5)", hint):
        empty = op.forward(np.ones((0, 3, 5, 5)), weight, stride=(1, 1), padding=(1, 1))
    expect.equal(empty.shape, (0, 2, 5, 5), call=call, hint=hint)


# 13.7: the convolution's gradients, and only those that are needed


@task("13.7")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.usefixtures("small_cache")
def test_the_blocked_gradients_are_right(student, rng, case):
    """The gradients of images, weight and bias agree with the definition."""
    shape, (out, *kernel), stride, padding = case
    x, weight, bias = (rng.normal(size=s).astype("float32") for s in (shape, (out, shape[1], *kernel), (out,)))
    output = convolve(x, weight, bias, stride, padding).astype("float32")
    grad = rng.normal(size=output.shape).astype("float32")
    wanted = convolve_backward(grad, x, weight, stride, padding)
    op = student.kernels.blocked_conv2d
    call = f"blocked_conv2d.backward for images {shape}, weight {weight.shape}, stride {stride}, padding {padding}"
    with explain_error(call, "the gradients of images, weight and bias", BLOCK_LAYOUT):
        got = op.backward(grad, output, x, weight, bias, stride=stride, padding=padding)
    hint = "with a bias there are three gradients, and without one only those of images and weight"
    expect.equal(len(got), 3, call=f"the number of gradients of {call}, with a bias", hint=hint)
    hints = {
        "images": "The columns' gradient, which is the transposed weight's matrix times the block's grad, overwrites "
        f"the columns, and scatter_loop adds it to grad_x, at first 0. n is the number of images, {len(x)} here",
        "weight": "Add up the blocks' shares, columns times the transposed grad of the same rows; transpose the sum. "
        f"For both loops, n is the number of images, {len(x)} here",
        "bias": "The bias gets the sum of grad over images, rows and columns, for each output channel",
    }
    got = [expect.pull(mine, call=f"{call}: {name}") for mine, name in zip(got, hints, strict=True)]
    wrong = [find_wrong_elements(*pair, 1e-4, call) for pair in zip(got, wanted, strict=True)]
    if wrong[0].any() and wrong[1].any():
        hints["images"] = (
            "The gradient of weight is wrong as well. Every block of output rows counts exactly once: first the even "
            "blocks, then the odd ones, each with its own rows of grad and its own columns. n is the number of images, "
            f"{len(x)} here"
        )
    hints["images"] = describe_places(wrong[0], IMAGE_AXES) + hints["images"]
    for (name, told), mine, right in zip(hints.items(), got, wanted, strict=True):
        told = BLOCK_LAYOUT if mine.shape != right.shape and name != "bias" else told
        expect.array(mine, right, call=f"{call}: {name}", rtol=1e-4, atol=1e-4, dtype="float32", hint=told)
    got = op.backward(grad, output, x, weight, stride=stride, padding=padding)
    expect.equal(len(got), 2, call=f"the number of gradients of {call}, without a bias", hint=hint)


@task("13.7")
def test_the_input_gradient_is_left_out_where_nobody_needs_it(student, rng):
    """With needs_input_grad=False the first gradient is None, and the others are unchanged."""
    x, weight, bias = (rng.normal(size=s).astype("float32") for s in ((3, 2, 7, 6), (4, 2, 3, 3), (4,)))
    output = convolve(x, weight, bias, (1, 1), (1, 1)).astype("float32")
    op, options = student.kernels.blocked_conv2d, {"stride": (1, 1), "padding": (1, 1)}
    full = op.backward(output, output, x, weight, bias, **options)
    call = "blocked_conv2d.backward(…, needs_input_grad=False)"
    hint = "only with needs_input_grad is grad_x made, filled by scatter_loop and brought into the layout of x"
    with explain_error(call, "None and the gradients of weight and bias", hint):
        got = op.backward(output, output, x, weight, bias, needs_input_grad=False, **options)
    expect.that(got[0] is None, call=f"the first of {call}", got=got[0], expected="None", hint=hint)
    for name, mine, before in zip(("weight", "bias"), got[1:], full[1:], strict=True):
        expect.array(mine, before, call=f"{call}: {name}")


@task("13.7")
def test_no_images_give_no_gradient(student):
    """Without images, the gradient of weight and bias is 0, and that of the images is empty."""
    shapes = (0, 3, 5, 5), (0, 2, 5, 5), (2, 3, 3, 3), (2,)
    x, grad, weight, bias = (np.ones(shape, "float32") for shape in shapes)
    op, options = student.kernels.blocked_conv2d, {"stride": (1, 1), "padding": (1, 1)}
    call = "blocked_conv2d.backward of no images"
    hint = "there may be no images: both loops then get 1 for n, so that nothing is divided by 0"
    with explain_error(call, "an empty gradient, and zeros for weight and bias", hint):
        got = op.backward(grad, grad, x, weight, bias, **options)
    for name, mine, right in zip(("images", "weight", "bias"), got, (x, 0 * weight, 0 * bias), strict=True):
        expect.array(mine, right, call=f"{call}: {name}", hint=hint)


@task("13.7")
@pytest.mark.usefixtures("small_cache")
def test_any_number_of_threads_gives_the_same_gradients(student, rng):
    """With 1, 2 and 3 threads, the results have the same bits, even where blocks cover the same pixels."""
    op, threading = student.kernels.blocked_conv2d, student.dataloader.threading
    before = threading.active_count()
    for kernel, stride in (((5, 3), (1, 2)), ((3, 3), (2, 2))):
        x, weight = (rng.normal(size=s).astype("float32") for s in ((3, 2, 23, 7), (4, 2, *kernel)))
        output = convolve(x, weight, None, stride, (1, 1)).astype("float32")
        one = op.backward(output, output, x, weight, stride=stride, padding=(1, 1), threads=1)
        for threads in (2, 3):
            got = op.backward(output, output, x, weight, stride=stride, padding=(1, 1), threads=threads)
            hints = {
                "images": "blocks that add to the same pixels must never run at the same time. Run all even blocks "
                "first, then all odd ones, each of at least ceil(kh / stride) rows",
                "weight": "add the blocks' shares in a fixed order, whichever is ready first",
            }
            for (name, hint), mine, right in zip(hints.items(), got, one, strict=True):
                call = f"the gradient of {name} with threads={threads}, kernel {kernel}, stride {stride}"
                expect.array(mine, right, rtol=0, atol=0, call=call, hint=hint)
    expect.equal(threading.active_count(), before, call="the number of threads afterwards")


# 13.8: batch normalisation and ReLU in one loop


def apply_norm_relu(x, weight, bias, mean, std):
    """Return ReLU(weight · (x - mean) / std + bias) in float64."""
    weight, bias, mean, std = (np.asarray(v, float)[:, None, None] for v in (weight, bias, mean, std))
    return np.maximum(weight * (x.astype(float) - mean) / std + bias, 0)


@task("13.8")
def test_moments_are_mean_and_variance_of_each_row(student, rng):
    """The variance is the mean squared distance from the mean, and it is accurate even for numbers near 3,000."""
    loops = "write a mean and a variance for each row of x; both sums begin at 0 and go over all elements of the row"
    for dtype, center in (("float32", 0), ("float32", 3000), ("float64", -5)):
        x = (center + rng.normal(scale=[[1], [0.1], [2]], size=(3, 5000))).astype(dtype)
        mean, var = (student.tensor.Tensor(np.zeros(3)) for _ in range(2))
        call = f"moments_loop of {dtype} numbers near {center}"
        with explain_error(call, "the means and variances of 3 rows", loops):
            moments_loop, rows = student.kernels.moments_loop, hold_read_only(student, x)
            moments_loop(rows, student.hold(mean, "data"), student.hold(var, "data"))
        hint = "the sum of each row, from 0 and added up in float64, divided by the number of its elements"
        expect.array(mean, x.astype(float).mean(axis=1), rtol=1e-6, call=f"the mean of {call}", hint=hint)
        hint = (
            "the mean of the squared distances from the row's mean: the sum begins at 0 and is divided by their number"
        )
        if center == 3000:
            hint = "subtract the mean first: squares of large numbers leave no digits for their spread"
        expect.array(var, x.astype(float).var(axis=1), rtol=1e-3, call=f"the variance of {call}", hint=hint)


@task("13.8")
def test_one_op_normalises_and_rectifies(student, rng):
    """The output equals that of batch normalisation and ReLU, in the input's dtype, and keeps NaN."""
    for dtype in ("float32", "float64"):
        x = rng.normal(size=(3, 4, 5, 2)).astype(dtype)
        weight, bias, mean = rng.normal(size=(3, 4))
        std = rng.uniform(0.5, 2, 4)
        x[1, 2, 3, 1] = np.nan
        wanted, call = apply_norm_relu(x, weight, bias, mean, std), f"batch_norm_relu.forward of {dtype}"
        hint = "call the loop on `runs(x)` as (C, the rest), and on an output of the same layout, whose last axis then "
        hint += "moves to the front"
        with explain_error(call, f"an output of shape {x.shape}", hint):
            got = student.kernels.batch_norm_relu.forward(
                x, weight.astype(dtype), bias.astype(dtype), mean=mean, std=std, count=math.inf
            )
        got = expect.pull(got, call=call)
        if got.shape == wanted.shape:
            there = np.isnan(wanted)
            told = f"the output of {call} for an input of NaN"
            hint = "every comparison with NaN is False, so write 0 only where y is below 0"
            expect.that(np.isnan(got[there]).all(), call=told, got=float(got[there][0]), expected="nan", hint=hint)
            hint = describe_places(find_wrong_elements(got, wanted, 1e-4, call), IMAGE_AXES)
            if np.nanmin(got) != 0:
                hint += "The smallest output is 0: ReLU writes 0 where y is below 0, and y everywhere else"
            else:
                hint += "y is scale · (x - mean) + bias with the numbers of its channel; scale is weight / std"
        expect.array(got, wanted, call=call, rtol=1e-4, atol=1e-5, dtype=dtype, hint=hint)


@task("13.8")
def test_other_channels_are_refused(student):
    """Images without four axes, or with a number of channels that differs from the weight's, raise a ValueError."""
    ones, given = np.ones(3), {"mean": np.zeros(3), "std": np.ones(3), "count": 1.0}
    for shape in ((2, 4, 3, 3), (2, 3, 9)):
        with expect.raises(ValueError, call=f"batch_norm_relu of images {shape} and weight (3,)"):
            student.kernels.batch_norm_relu.forward(np.ones(shape), ones, ones, **given)
    got = student.kernels.batch_norm_relu.forward(np.ones((2, 3, 4, 5)), ones, ones, **given)
    expect.array(
        got, np.full((2, 3, 4, 5), 2.0), call="batch_norm_relu of ones, with weight, bias and std 1 and mean 0"
    )


# 13.9: their gradients in two passes


NORM_LAYOUT = (
    "call the loop on `runs` of grad and x as (C, the rest), and on a grad_x of the same layout, whose last axis then "
    "moves to the front. The gradients of weight and bias have one number for each channel"
)


@task("13.9")
def test_gradients_with_given_statistics(student, rng):
    """If mean and std do not depend on x, every gradient agrees with finite differences."""
    x, (weight, bias, mean) = rng.normal(size=(2, 3, 3, 2)), rng.normal(size=(3, 3))
    std = rng.uniform(0.5, 2, 3)
    hint = (
        "let g be grad where weight / std · (x - mean) + bias is above 0, and 0 elsewhere. With a count of ∞, the "
        "gradient of x is g · weight / std. That of weight is the sum of g · (x - mean) / std, and that of bias the "
        "sum of g. Both sums begin at 0 and go over all parts of a row"
    )
    call, given = "batch_norm_relu.backward for images (2, 3, 3, 2)", {"mean": mean, "std": std, "count": math.inf}
    with explain_error(call, "three gradients, by formulas that divide only by std and count", NORM_LAYOUT):
        check_gradient(student.kernels.batch_norm_relu, x, weight, bias, hint=hint, **given)


@task("13.9")
def test_gradients_with_the_batch_statistics(student, rng):
    """If mean and std are computed from x, the gradient also flows through them."""
    x, (weight, bias), eps, step = rng.normal(size=(2, 3, 2, 3)), rng.normal(size=(2, 3)), 1e-3, 1e-6

    def compute_statistics(x):
        return x.mean(axis=(0, 2, 3)), np.sqrt(x.var(axis=(0, 2, 3)) + eps)

    grad = rng.normal(size=x.shape)
    wanted = np.empty_like(x)
    for place in np.ndindex(x.shape):
        moved = [x.copy() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = ((grad * apply_norm_relu(y, weight, bias, *compute_statistics(y))).sum() for y in moved)
        wanted[place] = (high - low) / (2 * step)
    mean, std = compute_statistics(x)
    output = apply_norm_relu(x, weight, bias, mean, std)
    kept = grad * (output > 0)
    normal = (x - mean[:, None, None]) / std[:, None, None]
    count = x.size / 3
    got = student.kernels.batch_norm_relu.backward(grad, output, x, weight, bias, mean=mean, std=std, count=count)
    call = "batch_norm_relu.backward with the statistics of x"
    hint = (
        "mean and std also depend on x. As in task 6.8, subtract the mean of g, and the normalised x times the mean of "
    )
    hint += "g · normalised x; both means divide by count"
    expect.array(got[0], wanted, call=f"{call}: x", rtol=1e-4, atol=1e-5, hint=hint)
    sums = {"weight": (kept * normal, "g times the normalised x"), "bias": (kept, "g, without a mean subtracted")}
    for mine, (name, (terms, told)) in zip(got[1:], sums.items(), strict=True):
        hint = f"for each channel, the sum of {told}"
        expect.array(mine, terms.sum(axis=(0, 2, 3)), call=f"{call}: {name}", rtol=1e-6, hint=hint)


@task("13.9")
def test_gradients_keep_float32(student, rng):
    """float32 stays float32, and no gradient passes where the ReLU's input is 0 or less."""
    x = rng.normal(size=(2, 1, 2, 2)).astype("float32")
    x[0, 0, 0, 0] = 0
    one, zero = np.ones(1, "float32"), np.zeros(1, "float32")
    output, grad = np.maximum(x, 0), rng.normal(size=x.shape).astype("float32")
    grad[x < 0] = np.inf
    given = {"mean": np.zeros(1), "std": np.ones(1), "count": math.inf}
    got = student.kernels.batch_norm_relu.backward(grad, output, x, one, zero, **given)
    wanted = np.where(x > 0, grad, 0)
    call = "batch_norm_relu.backward with an infinite gradient where the output is 0"
    for name, mine, right in zip(
        ("x", "weight", "bias"), got, (wanted, [(wanted * x).sum()], [wanted.sum()]), strict=True
    ):
        hint = (
            "g is 0 where the ReLU's input is 0 or less, also at exactly 0: select with a condition, since ∞ · 0 is NaN"
        )
        expect.array(mine, right, call=f"{call}: {name}", rtol=1e-5, dtype="float32", hint=hint)


@task("13.9")
def test_sums_over_many_values_stay_exact(student, rng):
    """With gradients near 1,000 at 5,000 positions, sums keep five correct digits, for any size of blocks."""
    x, bias = rng.normal(size=(2, 2, 50, 50)).astype("float32"), np.full(2, 9, "float32")
    grad = (1000 + rng.normal(size=x.shape)).astype("float32")
    given = {"mean": np.zeros(2), "std": np.full(2, 2.0), "count": 5000.0}
    weight = np.ones(2, "float32")
    output = apply_norm_relu(x, weight, bias, given["mean"], given["std"]).astype("float32")
    got = student.kernels.batch_norm_relu.backward(grad, output, x, weight, bias, **given)
    exact, normal = grad.astype(float), x.astype(float) / 2
    sums = [(exact * normal).sum(axis=(0, 2, 3)), exact.sum(axis=(0, 2, 3))]
    means = [(total / 5000)[:, None, None] for total in sums]
    call = "batch_norm_relu.backward of 5,000 values in each channel"
    hint = "every number counts once, however a row is divided into parts. Float32 sums of thousands of numbers lose "
    hint += "digits, so add the sums of the parts in float64"
    expect.array(got[1], sums[0], call=f"{call}: weight", rtol=1e-4, atol=5, hint=hint)
    expect.array(got[2], sums[1], call=f"{call}: bias", rtol=2e-6, hint=hint)
    hint = "weight / std times: g, minus the mean of g, minus the normalised x times the mean of g · normalised x"
    wanted = (exact - means[1] - normal * means[0]) / 2
    expect.array(got[0], wanted, call=f"{call}: x", rtol=1e-3, atol=1e-2, hint=hint)


# 13.10: the gradient of max pooling, compiled


def mark_first_largest(window):
    """Return where a window's first largest pixel is; a NaN counts as the largest."""
    return np.arange(window.size).reshape(window.shape) == np.argmax(window)


def max_pool_backward(grad, x, kernel, stride, mark=mark_first_largest):
    """Return the gradient of max pooling, window by window: each pixel that `mark` chooses gets all of it."""
    grad_x = np.zeros(x.shape)
    for n, c, r, q in np.ndindex(grad.shape):
        top, left = r * stride[0], q * stride[1]
        window = x[n, c, top : top + kernel[0], left : left + kernel[1]]
        grad_x[n, c, top : top + kernel[0], left : left + kernel[1]] += np.where(mark(window), grad[n, c, r, q], 0)
    return grad_x


@task("13.10")
@pytest.mark.parametrize("window", [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((2, 3), (3, 2)), ((1, 1), (2, 1))], ids=str)
def test_the_first_of_the_largest_gets_the_gradient(student, rng, window):
    """The first largest pixel gets the gradient, even with equal pixels, overlapping windows or gaps."""
    kernel, stride = window
    op, options = student.kernels.compiled_max_pool2d, {"kernel_size": kernel, "stride": stride}
    for dtype in ("float32", "float64"):
        x = rng.integers(-2, 2, (3, 2, 7, 6)).astype(dtype)
        output = np.max([part for _, _, part in view_padded_taps(x, kernel, stride, (0, 0))], axis=0)
        grad = rng.normal(size=output.shape).astype(dtype)
        call = f"compiled_max_pool2d, {kernel}, stride {stride}"
        expect.array(op.forward(x, **options), output, call=f"{call}: forward", dtype=dtype)
        hint = (
            "call the loop on `runs` of grad, output and x, and on a grad_x of zeros in the layout of `runs(x)`, whose "
        )
        hint += "last axis then moves to the front"
        with explain_error(f"{call}: backward", f"a gradient of shape {x.shape}", hint):
            gradients = op.backward(grad, output, x, **options)
        (got,) = gradients
        wanted = max_pool_backward(grad, x, kernel, stride)
        hint = describe_places(find_wrong_elements(got, wanted, 1e-5, call), IMAGE_AXES)
        hint += (
            f"Window (r, q) begins at pixel ({stride[0]}r, {stride[1]}q). All of its gradient goes to the first of its "
            "largest pixels, 0 to the others, and is added to what that pixel has from other windows. Each of the N "
            "images has its own largest pixels"
        )
        traps = {
            "more than one pixel gets a window's gradient: once a pixel has won, nothing is left for those after it": (
                lambda window: window == window.max()
            ),
            "the first pixel of each window gets the gradient: only a pixel that equals the largest, or is NaN, wins": (
                lambda window: np.arange(window.size).reshape(window.shape) == 0
            ),
        }
        traps = {advice: max_pool_backward(grad, x, kernel, stride, mark) for advice, mark in traps.items()}
        expect.array(got, wanted, call=f"{call}: backward", rtol=1e-5, dtype=dtype, hint=hint, traps=traps)


@task("13.10")
def test_pooling_agrees_with_module_06(student, rng):
    """For negative numbers, an infinite gradient and float32, the results equal those of module 06's op."""
    x = -np.abs(rng.normal(size=(2, 3, 4, 6))).astype("float32")
    old, new, options = (
        student.spatial.max_pool2d,
        student.kernels.compiled_max_pool2d,
        {"kernel_size": (2, 2), "stride": (2, 2)},
    )
    output = expect.pull(old.forward(x, **options), call="max_pool2d.forward")
    grad = rng.normal(size=output.shape).astype("float32")
    (got,), (wanted,) = (op.backward(grad, output, x, **options) for op in (new, old))
    expect.array(
        got, wanted, rtol=0, atol=0, call="compiled_max_pool2d.backward against max_pool2d.backward", dtype="float32"
    )
    grad[0, 0, 0, 0] = np.inf
    (got,) = new.backward(grad, output, x, **options)
    call = "compiled_max_pool2d.backward with an infinite gradient in one window"
    expect.array(
        got, max_pool_backward(grad, x, (2, 2), (2, 2)), call=call, hint="select with a condition; ∞ · 0 is NaN"
    )


@task("13.10")
def test_nan_gets_the_gradient_of_its_window(student, rng):
    """A window that contains a NaN gives NaN, and its gradient goes to the NaN pixel."""
    x = rng.normal(size=(1, 1, 2, 4)).astype("float32")
    x[0, 0, 1, 0] = np.nan
    output = np.array([np.nan, x[0, 0, :, 2:].max()], "float32").reshape(1, 1, 1, 2)
    grad = np.array([3.0, 5.0], "float32").reshape(1, 1, 1, 2)
    options = {"kernel_size": (2, 2), "stride": (2, 2)}
    (got,) = student.kernels.compiled_max_pool2d.backward(grad, output, x, **options)
    call, hint = (
        "compiled_max_pool2d.backward with a NaN at (1, 0)",
        "a NaN pixel, which alone differs from itself, wins",
    )
    expect.array(got, max_pool_backward(grad, x, (2, 2), (2, 2)), call=call, hint=hint)


# 13.11: layers that use the kernels


@task("13.11")
def test_the_tape_says_whether_an_input_needs_its_gradient(student, rng):
    """The op receives needs_input_grad=False for images, and True for an input that requires a gradient."""
    conv = student.spatial.Conv2d(2, 3, 3, padding=1, rng=student.rng(0))
    layer = student.kernels.BlockedConv2d(conv, 1)
    x = student.tensor.Tensor(rng.normal(size=(2, 2, 5, 5)).astype("float32"))
    student.autograd.require_grad(layer.parameters())
    for needed in (False, True):
        if needed:
            student.autograd.require_grad([x])
        with student.autograd.Tape():
            output = layer(x)
            entry = output.tape.entries[0]
            told = entry[2]["needs_input_grad"]
            call = f"needs_input_grad of a BlockedConv2d whose input has requires_grad={needed}"
            expect.equal(told, needed, call=call, hint="the call to `apply` passes x.requires_grad as needs_input_grad")
            loss = (output * output).sum()
        loss.backward()
    expect.equal(x.grad.shape, (2, 2, 5, 5), call="the shape of the gradient of images that require one")


@task("13.11")
def test_the_blocked_layer_computes_what_its_layer_does(student, rng):
    """With the same parameters, BlockedConv2d and Conv2d compute the same outputs and the same gradients."""
    for bias in (True, False):
        conv = student.spatial.Conv2d(3, 4, (3, 2), stride=2, padding=1, bias=bias, rng=student.rng(1))
        layer = student.kernels.BlockedConv2d(conv, 2)
        x, outputs, grads = student.tensor.Tensor(rng.normal(size=(2, 3, 6, 5)).astype("float32")), [], []
        for one in (conv, layer):
            outputs.append(one(x))
            student.layers.zero_grad(conv.parameters())
            grad_x = one.backward(student.tensor.Tensor(values(outputs[-1])))
            grads.append([values(grad_x), *(values(parameter.grad) for parameter in conv.parameters())])
        call = f"BlockedConv2d of a Conv2d with bias={bias}"
        hint = "apply the op to x and the parameters, with all attributes"
        expect.array(outputs[1], values(outputs[0]), call=f"the output of {call}", rtol=1e-4, atol=1e-5, hint=hint)
        for name, mine, right in zip(("input", "weight", "bias"), grads[1], grads[0], strict=False):
            hint = "without a tape the input's gradient is always computed" if name == "input" else None
            expect.array(mine, right, call=f"the gradient of the {name} of {call}", rtol=1e-4, atol=1e-4, hint=hint)


@task("13.11")
def test_fused_layer_trains_and_evaluates_like_both(student, rng):
    """In both modes the fused layer's output, gradients and running statistics equal those of BatchNorm2d and ReLU."""
    spatial, tensor, autograd = student.spatial, student.tensor, student.autograd
    norms = [spatial.BatchNorm2d(3, eps=1e-3, momentum=0.3) for _ in range(2)]
    start = rng.normal(size=(2, 3)).astype("float32")
    for norm in norms:
        norm.weight.data, norm.bias.data = start[0].copy(), start[1].copy()
    fused = student.kernels.BatchNormReLU(norms[1])
    relu = student.activations.ReLU()
    statistics = "mean and variance are those of the batch in training mode, and otherwise the running ones"
    count = "count is the number of values in a channel in training mode, and otherwise ∞"
    moments = (
        "in training mode, moments_loop takes `runs(x.data)` as (C, the rest) and fills float64 arrays of shape (C,)"
    )
    for training in (True, True, False):
        array = (2 + rng.normal(size=(4, 3, 5, 4))).astype("float32")
        got = []
        norms[0].training = fused.training = training
        for norm, network in zip(norms, ((norms[0], relu), (fused,)), strict=True):
            x = tensor.Tensor(array)
            autograd.require_grad([x, norm.weight, norm.bias])
            student.layers.zero_grad([norm.weight, norm.bias])
            with autograd.Tape():
                y = x
                for layer in network:
                    with explain_error(f"BatchNormReLU with training={training}", f"shape {array.shape}", moments):
                        y = layer(y)
                loss = (y * y).sum()
            with explain_error(f"backward of BatchNormReLU with training={training}", "its gradients", count):
                loss.backward()
            state = (norm.running_mean, norm.running_var)
            got.append([values(t) for t in (y, x.grad, norm.weight.grad, norm.bias.grad, *state)])
        update = "(1 - momentum) · old + momentum · new"
        hints = {
            "output": f"{statistics}; std is √(variance + eps)",
            "gradient of x": f"{statistics}; {count}",
            "gradient of weight": f"{statistics}; {count}",
            "gradient of bias": f"{statistics}; {count}",
            "running mean": f"{update} in training mode, and unchanged otherwise",
            "running variance": f"{update} in training mode; the new one is the batch's times count / (count - 1)",
        }
        for (name, hint), right, mine in zip(hints.items(), *got, strict=True):
            scale = float(np.abs(right).max())
            call = f"the {name} of BatchNormReLU with training={training}"
            expect.array(mine, right, call=call, rtol=1e-4, atol=1e-4 * scale, dtype="float32", hint=hint)


@task("13.11")
def test_a_refused_batch_leaves_the_running_statistics(student):
    """A single value per channel, or a wrong number of channels, raises a ValueError; no running statistic changes."""
    layer = student.kernels.BatchNormReLU(student.spatial.BatchNorm2d(3))
    for shape in ((1, 3, 1, 1), (2, 6, 4, 4)):
        with expect.raises(ValueError, call=f"BatchNormReLU of 3 channels, in training mode, for images {shape}"):
            layer(student.tensor.Tensor(np.ones(shape, "float32")))
    hint = "run the op first, since it may reject x, and only then change the running statistics"
    expect.array(layer.running_mean, np.zeros(3), call="the running mean afterwards", hint=hint)
    expect.array(layer.running_var, np.ones(3), call="the running variance afterwards", hint=hint)


# 13.12: the same network, optimised


def build_network(student, seed=0):
    """Return a small network with every layer that can be replaced, and some that cannot."""
    spatial, layers, relu, rng = student.spatial, student.layers, student.activations.ReLU, student.rng(seed)
    inner = layers.Sequential(
        spatial.Conv2d(4, 6, 3, padding=1, rng=rng), spatial.MaxPool2d(2), spatial.BatchNorm2d(6), relu()
    )
    return layers.Sequential(
        spatial.Conv2d(3, 4, 3, padding=1, bias=False, rng=rng), spatial.BatchNorm2d(4), relu(), spatial.MaxPool2d(2),
        inner, spatial.BatchNorm2d(6), spatial.AvgPool2d(2), spatial.Flatten(), layers.Dense(6, 5, rng=rng), relu(),
    )  # fmt: skip


def run_training_step(student, network, images, labels):
    """Run one training step with a tape, and return its logits, loss and all gradients."""
    student.dense.set_training(network, True)
    student.autograd.require_grad(network.parameters())
    student.layers.zero_grad(network.parameters())
    with student.autograd.Tape():
        logits = network(student.tensor.Tensor(images))
        loss = student.dense.CrossEntropyLoss()(logits, student.tensor.Tensor(labels))
    loss.backward()
    return [values(logits), values(loss), *(values(parameter.grad) for parameter in network.parameters())]


REPLACED = (
    "Sequential, Conv2d, MaxPool2d, and a BatchNorm2d with a ReLU right after it, replaced; all other layers kept"
)


@task("13.12")
def test_an_optimised_network_computes_the_same(student, rng):
    """Logits, loss, gradients and running statistics agree with those of the plain network, for 1 and 2 threads."""
    images, labels = rng.normal(size=(6, 3, 8, 8)).astype("float32"), rng.integers(0, 5, 6)
    plain = build_network(student)
    wanted = run_training_step(student, plain, images, labels)
    statistics = [values(buffer) for buffer in plain.buffers()]
    for threads in (1, 2):
        hint = "test the exact type of each layer. A BatchNorm2d and its ReLU are two layers, and two layers replace "
        hint += "them; a BatchNorm2d without a ReLU right after it stays as it is"
        with explain_error(f"a training step of optimise(network, {threads})", REPLACED, hint):
            fast = student.kernels.optimise(build_network(student), threads)
            got = run_training_step(student, fast, images, labels)
        expect.equal(
            len(got), len(wanted), call=f"2 + the number of parameters of optimise(network, {threads})", hint=hint
        )
        for place, (mine, right) in enumerate(zip(got, wanted, strict=True)):
            name = ("the logits", "the loss")[place] if place < 2 else f"the gradient of parameter {place - 2}"
            call = f"{name} of optimise(network, {threads})"
            atol = 1e-5 + 1e-4 * float(np.abs(right).max())
            expect.array(mine, right, call=call, rtol=1e-4, atol=atol, hint=hint)
        for place, (mine, right) in enumerate(zip(fast.buffers(), statistics, strict=True)):
            expect.array(mine, right, call=f"buffer {place} of optimise(network, {threads})", rtol=1e-4, atol=1e-5)


@task("13.12")
def test_ops_are_replaced_and_places_are_kept(student, rng):
    """Ops are replaced at any depth, there are as many layers as before, and the plain network stays plain."""
    network = build_network(student)
    fast = student.kernels.optimise(network)
    images = rng.normal(size=(2, 3, 8, 8)).astype("float32")
    rest = ["batch_norm", "avg_pool2d", "flatten", "linear", "relu"]
    names = {
        "optimise(network)": (
            fast,
            ["conv2d", "batch_norm_relu", "max_pool2d", "conv2d", "max_pool2d", "batch_norm_relu"],
        ),
        "the network itself": (
            network,
            ["conv2d", "batch_norm", "relu", "max_pool2d", "conv2d", "max_pool2d", "batch_norm", "relu"],
        ),
    }
    for what, (which, first) in names.items():
        with traced(student.tensor) as trace:
            which(student.tensor.Tensor(images))
        got, wanted = [entry[0] for entry in trace.entries], first + rest
        at = next((k for k, (mine, right) in enumerate(zip(got, wanted, strict=False)) if mine != right), 0)
        hint = {
            "batch_norm_relu": "a BatchNorm2d with a ReLU right after it becomes a BatchNormReLU, at any depth",
            "batch_norm": "a BatchNorm2d without a ReLU right after it stays as it is",
        }.get(wanted[at], "the ReLU after a BatchNorm2d becomes an empty Sequential, and only that ReLU")
        if which is network:
            hint = "put the new layers into a copy of the list of layers, so that the network keeps its own"
        call = f"the ops of {what}"
        expect.equal(got, wanted, call=call, hint=f"op {at} is the first that differs: {hint}")
        call, hint = f"the number of layers of {what}, and of its fifth", "put one layer where one was, and two for two"
        expect.equal((len(which), len(which[4])), (10, 4), call=call, hint=hint)


@task("13.12")
def test_only_the_optimised_network_gets_new_ops(student, rng):
    """The plain network's convolution and max pool run the ops that they had, and the optimised ones run others."""
    network, name, spatial = build_network(student), "op_of_the_plain_network", student.spatial
    for layer, op in ((network[0], spatial.conv2d), (network[3], spatial.max_pool2d)):
        layer.op = student.tensor.Op(name, op.forward, op.backward)
    fast = student.kernels.optimise(network)
    images = student.tensor.Tensor(rng.normal(size=(2, 3, 8, 8)).astype("float32"))
    hints = {
        "the network itself": "change a copy of the layer (`copy.copy`), since the plain network uses the layer itself",
        "optimise(network)": "every Conv2d becomes a BlockedConv2d, and every max pool runs compiled_max_pool2d",
    }
    for (what, hint), which, wanted in zip(hints.items(), (network, fast), ([0, 3], []), strict=True):
        with traced(student.tensor) as trace:
            which(images)
        got = [place for place, entry in enumerate(trace.entries) if entry[0] == name]
        call = f"the places of the plain convolution's and the plain max pool's ops among the ops of {what}"
        expect.equal(got, wanted, call=call, hint=hint)


@task("13.12")
def test_parameters_and_buffers_are_the_same_objects(student, rng):
    """Gradients of, and changes to, a tensor of one network also appear in the other network."""
    network = build_network(student)
    fast = student.kernels.optimise(network)
    for what in ("parameters", "buffers"):
        mine, theirs = getattr(fast, what)(), getattr(network, what)()
        expect.equal(len(mine), len(theirs), call=f"the number of {what} of optimise(network)")
        for place, tensor in enumerate(theirs):
            tensor.grad = student.tensor.Tensor(float(place))
        got = [None if tensor.grad is None else tensor.grad.item() for tensor in mine]
        wanted = [float(place) for place, _ in enumerate(theirs)]
        hint = "use the tensors themselves, not copies of their arrays"
        expect.equal(
            got, wanted, call=f"gradients set on the network's {what}, read from those of optimise(network)", hint=hint
        )
    images = student.tensor.Tensor(rng.normal(size=(2, 3, 8, 8)).astype("float32"))
    for parameter in network.parameters():
        parameter.data = values(parameter) + 0.5
    student.dense.set_training(network, False)
    student.dense.set_training(fast, False)
    expect.array(
        fast(images),
        values(network(images)),
        call="the optimised network after every parameter was increased",
        rtol=1e-4,
        atol=1e-4,
    )


@task("13.12")
def test_a_checkpoint_fits_both(student, rng):
    """A trainer of the optimised network loads what a trainer of the plain one saved, and continues in the same way."""
    images, labels = rng.normal(size=(4, 3, 8, 8)).astype("float32"), rng.integers(0, 5, 4)
    criterion, trainers = student.dense.CrossEntropyLoss(), []
    for network in (build_network(student, 0), student.kernels.optimise(build_network(student, 1))):
        optimizer = student.optimizers.SGD(network.parameters(), lr=0.1, momentum=0.9)
        trainers.append(student.training.Trainer(network, criterion, optimizer))
    plain, fast = trainers
    x, y = student.tensor.Tensor(images), student.tensor.Tensor(labels)
    plain.train_step(x, y)
    kept = "every parameter and buffer keeps its position"
    with explain_error("load_state_dict of the optimised network's trainer", kept, REPLACED):
        fast.load_state_dict(student.hold_result(plain.state_dict))
    losses = [[trainer.train_step(x, y)["loss"] for _ in range(3)] for trainer in (plain, fast)]
    expect.array(
        losses[1], losses[0], call="three losses after the plain network's state was loaded", rtol=1e-3, atol=1e-4
    )


@task("13.12")
def test_the_mode_is_taken_over(student):
    """A layer in evaluation mode is replaced by one in evaluation mode."""
    network = build_network(student)
    student.dense.set_training(network, False)
    expect.equal(student.kernels.optimise(network)[1].training, False, call="training of the optimised second layer")


# 13.13 to 13.17: the recipe of milestone 4


@task("13.13")
def test_recipe_builds_from_the_generator_alone(student):
    """The same seed builds the same network, and a different seed builds a different one."""
    recipes.check_build_is_seeded(student, RECIPE)


@task("13.13")
def test_recipe_predicts_probabilities(student, rng):
    """The recipe's predict returns ten probabilities for each image, which do not depend on the other images."""
    recipes.check_probabilities(student, rng, RECIPE)


@task("13.13")
def test_recipe_shows_its_feature_maps(student, rng):
    """`feature_maps` returns a map for each kernel of the first convolution, and different maps for another image."""
    recipes.check_feature_maps(student, rng, RECIPE)


@task("13.13")
def test_recipe_is_at_chance_before_training(student, rng):
    """A fresh network is not confident: its mean loss is near that of guessing, ln 10."""
    recipes.check_untrained_loss(student, rng, RECIPE)


@task("13.13")
def test_recipe_predicts_alike_optimised(student, rng):
    """The plain network and its optimised twin predict the same probabilities."""
    ours, images = RECIPE.load_recipe(student), RECIPE.draw_noise(rng, 5)
    network = ours.build(student.rng(3))
    wanted = expect.pull(ours.predict(network, images), call="predict(network, 5 images)")
    got = ours.predict(student.kernels.optimise(network), images)
    expect.array(got, wanted, call="predict(optimise(network), 5 images)", rtol=1e-3, atol=1e-4)


@task("13.14")
def test_whitening_kernels_are_scaled_eigenvectors(student, rng):
    """The kernels are the patches' strongest directions, each divided by the square root of its strength plus 0.1."""
    smooth = rng.normal(size=(7, 3, 9, 12)).cumsum(axis=2).cumsum(axis=3) * rng.uniform(0.05, 0.3, (1, 3, 1, 1))
    images = smooth.astype("float32")
    got = values(RECIPE.load_recipe(student).whitening_kernels(images, 5))
    call = "whitening_kernels(7 images of 9×12 pixels, 5)"
    expect.equal(got.shape, (5, 3, 3, 3), call=f"{call}.shape")
    patches = [image[:, y : y + 3, x : x + 3].ravel() for image in smooth for y in range(7) for x in range(10)]
    strengths, directions = np.linalg.eigh(np.mean([np.outer(patch, patch) for patch in patches], axis=0))
    scaled = (directions / np.sqrt(strengths + 0.1)).T
    wanted, hint = scaled[::-1][:5].reshape(got.shape), None
    for advice, kernels in (
        ("eigh returns the largest λ last; the strongest direction comes first", scaled),
        ("eigh returns each eigenvector as a column, not as a row", directions[::-1] / np.sqrt(strengths[::-1] + 0.1)),
        ("divide each direction by √(λ + 0.1)", directions.T[::-1]),
        ("divide by the square root of λ + 0.1", (directions / (strengths + 0.1)).T[::-1]),
        ("add 0.1 to λ under the root", (directions / np.sqrt(np.maximum(strengths, 1e-9))).T[::-1]),
    ):
        if np.allclose(np.abs(got), np.abs(kernels[:5].reshape(got.shape)), rtol=1e-2, atol=1e-3):
            hint = advice
    signs = np.sign((got * wanted).sum(axis=(1, 2, 3), keepdims=True))  # both v and -v are eigenvectors
    expect.array(got * signs, wanted, call=f"{call}, with the expected signs", rtol=1e-3, atol=1e-3, hint=hint)


@task("13.15")
def test_images_are_moved_by_parts_of_a_pixel(student):
    """Each image of a ramp stays a ramp, shifted by its own amount of up to two pixels along each axis."""
    y, x = np.mgrid[:32, :32]
    ramps = np.stack([90 + 4 * x, 90 + 4 * y, 60 + 2 * x + 2 * y]).astype("uint8")
    images = np.repeat(ramps[None], 60, axis=0)
    held = student.tensor.Tensor(images)
    ours = RECIPE.load_recipe(student)
    got = expect.pull(ours.move(held.data, student.rng(0)), call="move(60 images, rng)")
    expect.array(held, images, call="the images after move")
    expect.equal((got.shape, str(got.dtype)), (images.shape, "float32"), call="shape and dtype of move(60 images, rng)")
    still = expect.pull(ours.normalize(images), call="normalize(60 images)")
    step = still[0, 0, 0, 1] - still[0, 0, 0, 0], still[0, 1, 1, 0] - still[0, 1, 0, 0]
    inner = (got - still)[:, :, 4:-4, 4:-4]
    right, down = inner[:, 0].mean(axis=(1, 2)) / step[0], inner[:, 1].mean(axis=(1, 2)) / step[1]
    hint = "take a window of 33×33 from a frame of two pixels, then mix neighbours with a random share"
    for axis, offsets in (("along the columns", right), ("along the rows", down)):
        call = f"the number of pixels by which each of 60 images was shifted {axis}"
        fits = np.abs(offsets).max() <= 2.2 and offsets.min() < -1 and offsets.max() > 1
        expect.that(fits, call=call, got=np.round(offsets, 1).tolist(), expected="spread from -2 to 2", hint=hint)
    angles = {"down": down, "right": right, "down minus right": down - right}
    for what, offsets in angles.items():  # a pixel is one turn of a circle, so all whole pixels point the same way
        together = float(np.abs(np.exp(2j * np.pi * offsets).mean()))
        call = f"the fractions of a pixel by which 60 images were shifted {what}"
        got = np.round(offsets % 1, 1).tolist()
        expect.that(together < 0.6, call=call, got=got, expected="spread from 0 to 1", hint=hint)
    blue = inner[:, 2].mean(axis=(1, 2)) / (still[0, 2, 0, 1] - still[0, 2, 0, 0])
    call, hint = "the shift of blue, against down plus right of red and green", "an image's channels move together"
    expect.array(blue, right + down, call=call, atol=0.4, hint=hint)
    noise = inner - inner.mean(axis=(2, 3), keepdims=True)
    call, hint = (
        "the noise's standard deviation",
        "uniform numbers have a standard deviation of their range divided by √12",
    )
    expect.that(0.045 < noise.std() < 0.075, call=call, got=float(noise.std()), expected="0.06", hint=hint)


@task("13.15")
def test_edges_are_repeated(student):
    """A grey image stays grey up to its edge, except for the noise."""
    images = np.full((20, 3, 32, 32), 200, "uint8")
    ours = RECIPE.load_recipe(student)
    got = expect.pull(ours.move(images, student.rng(0)), call="move(20 grey images, rng)")
    off = np.abs(got - expect.pull(ours.normalize(images), call="normalize")).max()
    hint = 'np.pad with mode="edge"'
    expect.that(
        off < 0.5, call="the largest change of a pixel in a grey image", got=float(off), expected="noise", hint=hint
    )


def run_muon_steps(student, shape, grads, **options):
    """Return how far Muon moves a parameter of zeros in each step, with lr = 0.5."""
    parameter = student.tensor.Tensor(np.zeros(shape, "float32"))
    optimizer = RECIPE.load_recipe(student).Muon([parameter], lr=0.5, **options)
    places = [np.zeros(shape)]
    for grad in grads:
        parameter.grad = student.tensor.Tensor(grad.astype("float32"))
        optimizer.step()
        places.append(values(parameter))
    return np.diff(places, axis=0)


@task("13.16")
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (8, 2, 3, 3), (9, 1, 2, 2)], ids=str)
def test_kernels_move_equally_far_in_all_directions(student, rng, shape):
    """All singular values of a kernel's step are lr, and its directions are those of SGD's step with momentum."""
    grads = rng.normal(size=(2, *shape)) * rng.uniform(0.1, 100)
    got = run_muon_steps(student, shape, grads, momentum=0.5, nesterov=True)
    for number, sum_of_grads in enumerate((1.5 * grads[0], 1.5 * grads[1] + 0.25 * grads[0])):
        u, _, vt = np.linalg.svd(sum_of_grads.reshape(len(sum_of_grads), -1), full_matrices=False)
        call = f"step {number + 1} of Muon for a kernel of shape {shape}"
        expect.array(got[number], -0.5 * (u @ vt).reshape(shape), call=call, rtol=1e-2, atol=2e-3)


@task("13.16")
def test_a_step_without_direction_is_none(student, rng):
    """A gradient of zeros moves nothing, and for a gradient of rank 1 the step is finite."""
    got = run_muon_steps(student, (4, 2, 3, 3), [np.zeros((4, 2, 3, 3))])
    expect.array(got[0], np.zeros((4, 2, 3, 3)), call="a step of Muon for a gradient of zeros")
    grad = np.outer(rng.normal(size=4), rng.normal(size=18)).reshape(4, 2, 3, 3)
    got = run_muon_steps(student, (4, 2, 3, 3), [grad])
    call = "a step of Muon for a gradient of rank 1"
    expect.array(got[0], -0.5 * grad / np.linalg.norm(grad), call=call, rtol=1e-2, atol=2e-3)


@task("13.17")
def test_recipe_trains(student, rng):
    """Training on a few dark and bright images lowers the loss, changes every parameter, and reports its progress."""
    recipes.check_loss_falls(student, rng, RECIPE, 32)


@task("13.13")
def test_recipe_compresses(student, rng):
    """In int8, the network's answers are nearly the same; it takes at most 0.27 of the bytes, all in its tensors."""
    ours, images = RECIPE.load_recipe(student), RECIPE.draw_noise(rng, 40)
    images[0] = 120  # a single image does not show how large the inputs of a layer become
    network = ours.build(student.rng(3))
    wanted = expect.pull(ours.predict(network, images), call="predict(network, images)")
    small, other = ours.compress(network, images), ours.compress(ours.build(student.rng(4)), images)
    expect.array(ours.predict(small, images), wanted, call="predict(compress(network, images), images)", atol=0.03)
    sizes = [sum(values(t).nbytes for t in [*net.parameters(), *net.buffers()]) for net in (small, network)]
    share = sizes[0] / sizes[1]
    expect.that(share <= 0.27, call="its bytes as a share of the float network's", got=share, expected="at most 0.27")
    for theirs, mine in zip(
        [*other.parameters(), *other.buffers()], [*small.parameters(), *small.buffers()], strict=True
    ):
        theirs.data = values(mine)
    call = "predict of a compressed network with another one's parameters and buffers"
    got = expect.pull(ours.predict(small, images), call="predict(compress(network, images), images)")
    expect.array(ours.predict(other, images), got, call=call, rtol=1e-4, atol=1e-5)
