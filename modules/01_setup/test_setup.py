"""The tests of module 01: what the machine is, what arrays weigh, and a stopwatch."""

import platform
import time

import numpy as np
import pytest

from grading.testing import expect, task


@task("1.1")
def test_info_has_the_five_keys(student):
    """system_info() has exactly the keys python, numpy, machine, processors and blas."""
    info = student.setup.system_info()
    expect.that(type(info) is dict, call="system_info()", got=info, expected="a dict")
    expect.equal(sorted(info), ["blas", "machine", "numpy", "processors", "python"], call="sorted(system_info())")


@task("1.1")
def test_info_tells_the_versions_that_run(student):
    """system_info() returns the versions of Python and NumPy that are running."""
    info = student.setup.system_info()
    expect.equal(info["python"], platform.python_version(), call='system_info()["python"]')
    expect.equal(info["numpy"], np.__version__, call='system_info()["numpy"]')


@task("1.1")
def test_info_describes_the_hardware(student):
    """system_info() describes the machine with plain, non-empty values."""
    info = student.setup.system_info()
    expect.equal(info["machine"], platform.machine(), call='system_info()["machine"]')
    count = info["processors"]
    expect.that(
        type(count) is int and count >= 1, call='system_info()["processors"]', got=count, expected="an int of 1 or more"
    )
    blas = info["blas"]
    known = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {}).get("name", "unknown")
    expect.equal(blas, known, call='system_info()["blas"]', hint='np.show_config(mode="dicts")["Build Dependencies"]')


@task("1.2")
@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((1000, 1000), "float32", 4_000_000),
        ((7,), "float64", 56),
        ((2, 3, 5), "int64", 240),
        ((3, 3), "bool", 9),
        ((4, 5), "float16", 40),
        ((), "float64", 8),
        ((3, 0, 5), "float32", 0),
    ],
)
def test_bytes_are_elements_times_their_size(student, shape, dtype, expected):
    """array_bytes() returns the number of elements times the size of one element in bytes."""
    hint = "the product of all sizes (1 if there are none) times the bytes of one element"
    got = student.setup.array_bytes(shape, dtype)
    expect.equal(got, expected, call=f'array_bytes({shape}, "{dtype}")', hint=hint)


@task("1.2")
def test_bytes_agree_with_numpy(student, rng):
    """array_bytes() agrees with the nbytes of a real array with a random shape."""
    shape = tuple(int(n) for n in rng.integers(1, 9, size=4))
    for dtype in ("int8", "float32", "float64"):
        expected = np.zeros(shape, dtype).nbytes
        expect.equal(student.setup.array_bytes(shape, dtype), expected, call=f'array_bytes({shape}, "{dtype}")')


@task("1.2")
def test_bytes_default_to_float32(student):
    """array_bytes() assumes float32 elements if no dtype is given."""
    expect.equal(student.setup.array_bytes((10, 10)), 400, call="array_bytes((10, 10))")


@task("1.2")
def test_bytes_of_an_array_no_machine_can_hold(student):
    """array_bytes() creates no array, and computes with Python's exact integers."""
    got = student.setup.array_bytes((10**7, 10**7, 10**7), "float64")
    expect.equal(
        got, 8 * 10**21, call='array_bytes((10**7, 10**7, 10**7), "float64")', hint="math.prod never overflows"
    )


@task("1.2")
def test_bytes_refuse_a_negative_size(student):
    """array_bytes() with a negative size raises a ValueError that states the shape."""
    for shape in ((4, -1), (-2, -3)):
        with expect.raises(ValueError, call=f"array_bytes({shape})", mentions=(str(shape),)):
            student.setup.array_bytes(shape)


@task("1.3")
def test_loop_multiplies_and_adds(student):
    """dot_loop() adds up the products of the elements at the same position."""
    dot_loop = student.setup.dot_loop
    expect.equal(dot_loop([], []), 0.0, call="dot_loop([], [])", hint="an empty sum is 0.0, so the total begins there")
    got, call = dot_loop([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]), "dot_loop([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])"
    expect.equal(got, 140.0, call=call, hint="1 · 10 + 2 · 20 + 3 · 30: each product is added to the total")
    expect.equal(dot_loop([2, -1], [5, 5]), 5.0, call="dot_loop([2, -1], [5, 5])", hint="return a float")


@task("1.3")
def test_loop_agrees_with_numpy(student, rng):
    """dot_loop() of random vectors returns a Python float that agrees with NumPy's result."""
    check_dot_product(student.setup.dot_loop, "dot_loop", rng)


@task("1.3")
def test_loop_refuses_different_lengths(student):
    """dot_loop() raises a ValueError that states both lengths if the vectors differ in length."""
    check_length_errors(student.setup.dot_loop, "dot_loop")


@task("1.4")
def test_benchmark_returns_the_shortest_call(student):
    """benchmark() returns the time of the shortest measured call, not the first, the last, the mean or the sum."""
    pauses = iter([0.04, 0.09, 0.012, 0.09])
    begun, ended = [], [time.perf_counter()]

    def sleep_next_pause():
        begun.append(time.perf_counter())
        time.sleep(next(pauses, 0.1))
        ended.append(time.perf_counter())

    seconds = student.setup.benchmark(sleep_next_pause, repeats=3)
    begun.append(time.perf_counter())
    call = "benchmark(f, repeats=3), where f sleeps 40 ms, then 90, 12 and 90"
    hint = "one warm-up call, and then one call for each repeat, between two readings of the clock"
    expect.that(
        len(ended) in (4, 5), call=f"the number of calls in {call}", got=len(ended) - 1, expected="4", hint=hint
    )
    expect.that(type(seconds) is float, call=call, got=seconds, expected="a float")
    # A busy machine makes calls longer. Each took at least the time from its own start to its end, and at most the time
    # from the end of the previous call to the start of the next one.
    shortest = min(end - start for start, end in zip(begun[1:], ended[2:], strict=False))
    longest = min(start - end for start, end in zip(begun[2:], ended[1:], strict=False))
    expect.that(
        shortest <= seconds <= longest,
        call=call,
        got=seconds,
        expected=f"about {shortest:.3f} seconds",
        hint="keep the minimum of the measured calls, each of which has a start of its own"
        if 0 < seconds <= begun[-1] - ended[0]
        else "a call's time is the clock's reading after it minus the reading before it",
    )


@task("1.4")
def test_benchmark_does_not_measure_the_first_call(student):
    """benchmark() does not count its first call, even when that is the fastest."""
    pauses = iter([0.0, 0.04, 0.03])
    seconds = student.setup.benchmark(lambda: time.sleep(next(pauses, 0.1)), repeats=2)
    call = "benchmark(f, repeats=2), where f sleeps 0 ms, then 40 and 30"
    expect.that(seconds >= 0.03, call=call, got=seconds, expected="at least 0.03 seconds", hint="warm up first")


@task("1.4")
@pytest.mark.parametrize("repeats", [1, 2, 7])
def test_benchmark_calls_once_more_than_it_measures(student, repeats):
    """benchmark() calls the function once and then `repeats` more times, each time with the arguments."""
    calls = []
    student.setup.benchmark(lambda *arguments: calls.append(arguments), "x", 3, repeats=repeats)
    expect.equal(calls, [("x", 3)] * (repeats + 1), call=f'the calls made by benchmark(f, "x", 3, repeats={repeats})')


@task("1.4")
def test_benchmark_repeats_five_times_unless_told(student):
    """benchmark() measures five calls when `repeats` is not given."""
    calls = []
    student.setup.benchmark(lambda: calls.append(1))
    expect.equal(len(calls), 6, call="the number of calls in benchmark(f)", hint="one warm-up and five measured calls")


@task("1.4")
def test_benchmark_grows_with_the_work(student, rng):
    """benchmark(dot_loop, a, b) returns a longer time for vectors that are 50 times as long."""
    short, long = rng.random(400), rng.random(20_000)
    quick = student.setup.benchmark(student.setup.dot_loop, short, short)
    slow = student.setup.benchmark(student.setup.dot_loop, long, long)
    expect.that(
        0 < quick < slow,
        call="benchmark(dot_loop, a, a) for 400 and for 20,000 elements",
        got=f"{quick!r} and {slow!r} seconds",
        expected="durations above 0, the second longer than the first",
    )


@task("1.4")
def test_benchmark_refuses_no_repeats(student):
    """benchmark() with fewer than one repeat raises a ValueError and does not call the function."""
    for repeats in (0, -1):
        calls = []
        call = f"benchmark(f, repeats={repeats})"
        with expect.raises(ValueError, call=call):
            student.setup.benchmark(lambda: calls.append(1), repeats=repeats)  # noqa: B023 - called immediately
        expect.equal(calls, [], call=f"the calls made by {call}", hint="check repeats before the first call")


@task("1.5")
def test_vectorised_agrees_with_numpy(student, rng):
    """dot_vectorised() of random vectors returns a Python float that agrees with NumPy's result."""
    check_dot_product(student.setup.dot_vectorised, "dot_vectorised", rng)


@task("1.5")
def test_vectorised_takes_lists_too(student):
    """dot_vectorised() takes lists as dot_loop() does, and returns a float even for integers."""
    expect.equal(student.setup.dot_vectorised([2, -1], [5, 5]), 5.0, call="dot_vectorised([2, -1], [5, 5])")


@task("1.5")
def test_vectorised_refuses_different_lengths(student):
    """dot_vectorised() raises a ValueError that states both lengths if the vectors differ in length."""
    check_length_errors(student.setup.dot_vectorised, "dot_vectorised")


@task("1.5")
def test_comparison_is_consistent(student):
    """compare_dots() returns two durations above zero, and their quotient as the speed-up."""
    result = student.setup.compare_dots(2_000, student.rng(3))
    call = "compare_dots(2000, rng)"
    expect.equal(sorted(result), ["loop_seconds", "speedup", "vectorised_seconds"], call=f"sorted({call})")
    expect.that(all(type(v) is float and v > 0 for v in result.values()), call=call, got=result, expected="floats > 0")
    quotient = result["loop_seconds"] / result["vectorised_seconds"]
    expect.array(
        result["speedup"], quotient, call=f'{call}["speedup"]', hint="the loop's time divided by the vectorised time"
    )


@task("1.5")
def test_vector_beats_loop(student):
    """compare_dots() finds NumPy at least three times as fast as the loop for 8,000 elements."""
    # The vectors are short enough for BLAS to stay in one thread. With several, a busy machine can spoil every repeat.
    result = student.setup.compare_dots(8_000, student.rng(4))
    expect.that(
        result["speedup"] >= 3,
        call='compare_dots(8000, rng)["speedup"]',
        got=result["speedup"],
        expected="3 or more; 50 and above is usual",
        hint="dot_vectorised must leave the loop to NumPy",
    )


@task("1.5")
def test_comparison_depends_on_the_size(student):
    """compare_dots() uses vectors of the given size: the loop takes longer for 20 times as many elements."""
    small = student.setup.compare_dots(500, student.rng(5))["loop_seconds"]
    large = student.setup.compare_dots(10_000, student.rng(5))["loop_seconds"]
    expect.that(
        small < large,
        call='compare_dots(500, rng)["loop_seconds"] and compare_dots(10000, rng)["loop_seconds"]',
        got=f"{small!r} and {large!r}",
        expected="a longer time for the larger size",
    )


@task("1.5")
def test_comparison_draws_both_vectors_from_rng(student):
    """compare_dots() draws its vectors from the given generator, so that the same seed reproduces them."""
    generator, untouched = student.rng(6), student.rng(6)
    student.setup.compare_dots(100, generator)
    expect.that(
        generator.random() != untouched.random(),
        call="rng.random() after compare_dots(100, rng)",
        got="the generator's first number",
        expected="a later number",
        hint="use neither np.random.… nor your own generator",
    )


def check_dot_product(function, name, rng):
    """Compare a dot product of random vectors, of several lengths and dtypes, with NumPy's in float64."""
    for size in (1, 2, 17, 300):
        for dtype in ("float64", "float32"):
            a, b = rng.standard_normal(size).astype(dtype), rng.standard_normal(size).astype(dtype)
            got = function(a, b)
            call = f"{name}(a, b) for {size} {dtype} elements"
            expect.that(type(got) is float, call=call, got=got, expected="a Python float", hint="use float(…)")
            expect.array(got, np.dot(a.astype("float64"), b.astype("float64")), call=call, rtol=1e-4, atol=1e-4)


def check_length_errors(function, name):
    """Check that vectors of different lengths are rejected, whichever is longer, even if one has a single element."""
    for a, b in (([1.0, 2.0, 3.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0, 4.0]), ([2.0], [1.0, 2.0, 3.0])):
        mentions = (str(len(a)), str(len(b)))
        with expect.raises(ValueError, call=f"{name}({a}, {b})", mentions=mentions):
            function(a, b)
