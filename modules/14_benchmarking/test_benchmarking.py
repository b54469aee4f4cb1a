"""The tests of module 14: timing, summaries, intervals, comparisons, counted work, the roofline, peak memory.

No test measures this machine: every clock belongs to the test, and advances as the test specifies. Random results are
checked by how often they are correct, over so many draws that correct code fails in fewer than one in 10,000 runs.
"""

import itertools
import math
import re

import numpy as np
import pytest

from grading.testing import expect, task


class Machine:
    """A machine whose clock the test advances: a call takes `cost(name, n)` seconds after n earlier calls.

    `called` lists the names of the functions in the order of their calls.
    """

    def __init__(self, student, cost):
        self.now = student.tensor.Tensor(np.array(0.5))
        self.clock, self.cost, self.seconds, self.called = self.now.item, cost, 0.5, []

    def make_function(self, name):
        """Return a function whose calls take the time that `cost` returns."""

        def take_time():
            self.seconds += self.cost(name, len(self.called))
            self.called.append(name)
            self.now.data = np.array(self.seconds)

        return take_time


def make_clock(student, steps):
    """Return a clock in the student's process that advances by one of these steps at each reading, and its readings.

    The list of readings becomes shorter by one each time.
    """
    readings = student.hold(student.tensor.Trace(), "entries")
    readings.extend([float(reading) for reading in np.cumsum(steps)[::-1]])
    return readings.pop, readings


@pytest.fixture
def collector(student):
    """Return the garbage collector in the student's process, which is on before and after the test."""
    student.benchmarking.enable()
    yield student.benchmarking
    student.benchmarking.enable()


# 14.1: a timer


@task("14.1")
def test_the_collector_is_as_it_was(student, collector):
    """The collector is off inside the block; afterwards it is on if it was on before, and off if it was off."""
    with student.benchmarking.pause_collector():
        expect.equal(collector.isenabled(), False, call="gc.isenabled() inside pause_collector()")
    expect.equal(collector.isenabled(), True, call="gc.isenabled() after pause_collector()")
    collector.disable()
    with student.benchmarking.pause_collector():
        expect.equal(collector.isenabled(), False, call="gc.isenabled() inside pause_collector(), if it was off before")
    hint = "other code may have switched it off: check isenabled() first"
    expect.equal(
        collector.isenabled(), False, call="gc.isenabled() after pause_collector(), if it was off before", hint=hint
    )


@task("14.1")
def test_an_error_leaves_the_collector_on(student, collector):
    """After a block or a function that fails, the collector is on again, and the error reaches the caller."""
    hint = "switch it back on in `finally`"
    call, pause = "a block in pause_collector() that raises", student.benchmarking.pause_collector
    with expect.raises(RuntimeError, call=call, mentions=("on purpose",)), pause():
        raise RuntimeError("on purpose")
    expect.equal(collector.isenabled(), True, call="gc.isenabled() after a block that failed", hint=hint)
    two = student.tensor.Tensor([1.0, 2.0])
    for warmup in (0, 1):
        with expect.raises(ValueError, call="time_calls of a function that fails", hint=hint):
            student.benchmarking.time_calls(two.item, 2, warmup)
        expect.equal(collector.isenabled(), True, call="gc.isenabled() after time_calls has failed", hint=hint)


@task("14.1")
@pytest.mark.parametrize(("repeats", "warmup"), [(7, 2), (1, 0), (4, 3)])
def test_each_call_is_measured_by_itself(student, rng, repeats, warmup):
    """The seconds of each call are returned in order; warm-up calls are made but not measured."""
    costs = [*rng.uniform(50, 60, warmup), *rng.uniform(1, 9, repeats)]
    machine = Machine(student, lambda _, n: costs[n] if n < len(costs) else 100.0)
    got = student.benchmarking.time_calls(machine.make_function("work"), repeats, warmup, machine.clock)
    call = f"time_calls(work, {repeats}, {warmup}, clock)"
    hint = f"{warmup} calls first, then {repeats}; read the clock just before and just after each of these"
    expect.equal(len(machine.called), repeats + warmup, call=f"calls made by {call}", hint=hint)
    expect.array(got, costs[warmup:], dtype="float64", rtol=1e-9, call=call, hint=hint)


@task("14.1")
def test_nothing_but_the_call_is_between_two_readings(student):
    """If the clock ticks at each reading, each call takes one tick."""
    clock, _ = make_clock(student, [1] * 100)
    machine = Machine(student, lambda *_: 0.0)
    got = student.benchmarking.time_calls(machine.make_function("work"), 5, 1, clock)
    expect.array(got, [1.0] * 5, call="time_calls(work, 5, 1, clock) with a clock that ticks at each reading")


@task("14.1")
def test_the_collector_is_off_while_calls_are_measured(student, collector):
    """No measured call includes collecting other code's garbage, and afterwards the collector runs as before."""
    states, machine = [], Machine(student, None)

    def note_collector_state():
        states.append(collector.isenabled())

    student.benchmarking.time_calls(note_collector_state, 3, 2, machine.clock)
    hint = "pause_collector() around the measured calls"
    expect.equal(states[2:], [False] * 3, call="gc.isenabled() in each measured call of time_calls", hint=hint)
    expect.equal(collector.isenabled(), True, call="gc.isenabled() after time_calls")


@task("14.1")
def test_a_timer_refuses_to_measure_nothing(student):
    """No repeats, or a negative number of warm-up calls, raises a ValueError before anything is called."""
    machine = Machine(student, lambda *_: 1.0)
    for repeats, warmup in ((0, 3), (-1, 0), (3, -1)):
        hint = "first of all, check that there is at least one repeat and that warmup is not negative"
        with expect.raises(ValueError, call=f"time_calls(work, {repeats}, {warmup})", hint=hint):
            student.benchmarking.time_calls(machine.make_function("work"), repeats, warmup, machine.clock)
    expect.equal(machine.called, [], call="calls made before the ValueError", hint=hint)


# 14.2: minimum, median, MAD, quantiles


def interpolate_quantile(samples, q):
    """Return the quantile at position q · (n - 1) of the sorted samples."""
    return float(np.interp(q * (len(samples) - 1), np.arange(len(samples)), sorted(samples)))


@task("14.2")
def test_a_quantile_lies_between_two_samples(student, rng):
    """A quantile is at position q · (n - 1) of the sorted samples, on the line between the two nearest samples."""
    quantile = student.benchmarking.quantile
    known = [([10.0, 20.0, 40.0], 0.25, 15.0), ([40.0, 10.0, 20.0], 0.75, 30.0)]
    known += [([3.0, 1.0], 0.5, 2.0), ([7.0], 0.3, 7.0)]
    for samples, q, wanted in known:
        hint = "sort first; the first sample is at position 0 and the last at n - 1"
        got = quantile(samples, q)
        expect.array(got, wanted, rtol=1e-9, call=f"quantile({samples}, {q})", hint=hint)
        expect.that(type(got) is float, call=f"quantile({samples}, {q})", got=got, expected="a float")
    for n in (1, 2, 3, 10, 21, 40):
        samples = rng.normal(size=n).round(1)
        for q in (0, 1, 0.5, 0.95, float(rng.uniform())):
            call = f"quantile({n} samples, {q:.3g})"
            expect.array(quantile(samples, q), interpolate_quantile(samples, q), rtol=1e-9, atol=1e-12, call=call)


@task("14.2")
def test_samples_stay_as_they_are(student):
    """The caller's samples keep the order in which they were taken; samples may also be integers."""
    samples = student.hold(student.tensor.Tensor(np.array([3.0, 1.0, 2.0])), "data")
    student.benchmarking.quantile(samples, 0.5)
    student.benchmarking.summarise(samples)
    left = student.benchmarking.np.array(samples)
    expect.array(left, [3.0, 1.0, 2.0], call="[3, 1, 2] after quantile and summarise", hint="sort a copy")
    got = student.benchmarking.summarise([1, 2, 4, 9])
    hint = "the middle of the sorted samples, not their mean"
    expect.array(got["median"], 3.0, call='summarise([1, 2, 4, 9])["median"]', hint=hint)


@task("14.2")
def test_what_has_no_quantile_is_refused(student):
    """A ValueError is raised if there are no samples, or if q is below 0, above 1 or nan."""
    for samples, q in (([], 0.5), ([1.0], -0.01), ([1.0, 2.0], 1.01), ([1.0], math.nan)):
        hint = "refuse no samples, and any q for which 0 ≤ q ≤ 1 is not true (with nan it is not)"
        with expect.raises(ValueError, call=f"quantile({samples}, {q})", hint=hint):
            student.benchmarking.quantile(samples, q)
    with expect.raises(ValueError, call="summarise([])"):
        student.benchmarking.summarise([])


@task("14.2")
def test_a_summary_withstands_outliers(student, rng):
    """The minimum, median, scaled MAD and 0.95 quantile agree with their definitions for any number of samples."""
    cases = [[5.0, 4.0, 6.0, 5.0, 90.0], [3.0], [1.0, 2.0], [2.0] * 6]
    cases += [list(rng.lognormal(size=n)) for n in (9, 30)]
    for samples in cases:
        got, call = student.benchmarking.summarise(samples), f"summarise({len(samples)} samples)"
        expect.equal(sorted(got), ["mad", "median", "minimum", "p95"], call=f"the names in {call}")
        median = interpolate_quantile(samples, 0.5)
        mad = 1.4826 * interpolate_quantile([abs(x - median) for x in samples], 0.5)
        hints = {
            "minimum": "the smallest sample",
            "median": "the middle of the sorted samples, not their mean",
            "mad": "the median of |sample - median|, times MAD_TO_STD",
            "p95": "the quantile 0.95",
        }
        wanted = {"minimum": min(samples), "median": median, "mad": mad, "p95": interpolate_quantile(samples, 0.95)}
        for name, value in wanted.items():
            expect.array(got[name], value, rtol=1e-4, atol=1e-12, call=f'{call}["{name}"]', hint=hints[name])


# 14.3: how sure is that number?


def find_binomial_quantile(n, p, q):
    """Return the smallest k such that at most k of n events happen with a probability of q or more."""
    chances = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    return next(k for k, chance in enumerate(itertools.accumulate(chances)) if chance >= q)


@task("14.3")
@pytest.mark.parametrize(("ones", "confidence"), [(50, 0.95), (50, 0.5), (20, 0.95), (20, 0.8)])
def test_resamples_of_zeros_and_ones_are_binomial(student, ones, confidence):
    """For 100 zeros and ones a resample's mean is binomial, so both ends of its interval are known."""
    samples = np.array([1.0] * ones + [0.0] * (100 - ones))
    np_ = student.benchmarking.np
    got = student.benchmarking.bootstrap_interval(samples, np_.mean, confidence, 4000, rng=student.rng(ones))
    call = f"bootstrap_interval({ones} ones and {100 - ones} zeros, np.mean, {confidence}, 4000, rng=…)"
    expect.that(type(got) is tuple and len(got) == 2, call=call, got=got, expected="(low, high)")
    for name, value, tail in zip(("low", "high"), got, ((1 - confidence) / 2, (1 + confidence) / 2), strict=True):
        hint = "draw as many as there are, with replacement; cut off half of 1 - confidence on either side"
        wanted = find_binomial_quantile(100, ones / 100, tail) / 100
        expect.array(value, wanted, rtol=0, atol=0.0151, call=f"{name} of {call}", hint=hint)


def find_each_interval(bootstrap_interval, sets, statistic, rng):
    """Return the 95% interval of each set of samples. Run it on the student's side: one message instead of hundreds."""
    return [bootstrap_interval(samples, statistic, 0.95, 200, rng=rng) for samples in sets]


@task("14.3")
@pytest.mark.parametrize(("name", "n", "true"), [("median", 25, 1 + math.log(2)), ("mean", 30, 2.0)])
def test_intervals_hold_what_they_promise(student, rng, name, n, true):
    """For 89% to 99% of 800 synthetic sets of samples, the 95% interval contains the true value."""
    statistic, generator = getattr(student.benchmarking.np, name), student.rng(int(rng.integers(1 << 30)))
    sets, held = 800, 0
    samples = [1 + (rng.exponential(size=n) if name == "median" else rng.normal(1, 0.3, n)) for _ in range(sets)]
    find = student.define(find_each_interval)
    for low, high in find(student.benchmarking.bootstrap_interval, np.stack(samples), statistic, generator):
        expect.that(low <= high, call="bootstrap_interval(…)", got=(low, high), expected="low at most high")
        held += low <= true <= high
    call = f"how many of {sets} 95% intervals for the {name} of {n} samples contain the true {name}"
    expect.that(0.89 * sets <= held <= 0.99 * sets, call=call, got=held, expected="89% to 99% of them")


@task("14.3")
def test_the_generator_decides_the_draws(student):
    """The same seed produces the same interval, a different seed changes it, and with one draw the width is 0."""
    samples = [float(x * x) for x in range(30)]

    def compute_interval(seed, draws=50):
        mean = student.benchmarking.np.mean
        return student.benchmarking.bootstrap_interval(samples, mean, 0.9, draws, rng=student.rng(seed))

    expect.equal(compute_interval(3), compute_interval(3), call="two intervals with the same seed")
    expect.that(
        compute_interval(3) != compute_interval(4),
        call="two intervals with seeds 3 and 4",
        got="equal",
        expected="different",
    )
    low, high = compute_interval(5, draws=1)
    expect.array(
        low,
        high,
        rtol=1e-12,
        call="low and high of an interval from a single draw",
        hint="make as many draws as `draws` says",
    )
    got = student.benchmarking.bootstrap_interval([4.0], rng=student.rng(0))
    expect.array(list(got), [4.0, 4.0], call="bootstrap_interval([4.0], rng=…)")


@task("14.3")
def test_what_has_no_interval_is_refused(student):
    """A ValueError is raised if there are no samples, or if the confidence is not between 0 and 1."""
    for samples, confidence in (([], 0.9), ([1.0, 2.0], 0.0), ([1.0, 2.0], -0.5), ([1.0, 2.0], 1.0), ([1.0, 2.0], 95)):
        call = f"bootstrap_interval({samples}, confidence={confidence}, rng=…)"
        hint = "refuse no samples, and a confidence that is not between 0 and 1; 95% is 0.95"
        with expect.raises(ValueError, call=call, hint=hint):
            student.benchmarking.bootstrap_interval(samples, confidence=confidence, rng=student.rng(0))


# 14.4: taking turns


def time_both_functions(student, machine, blocks, warmup):
    """Call time_in_turns with two functions of a machine, "a" and "b"."""
    a, b = machine.make_function("a"), machine.make_function("b")
    return student.benchmarking.time_in_turns(a, b, blocks, warmup, machine.clock, rng=student.rng(0))


def record_order(time_in_turns, blocks, warmup, rng):
    """Return the order in which two functions are called, such as "abba". Each call takes a second.

    Run it on the student's side, where hundreds of calls need no messages.
    """
    called = []
    a, b = (lambda: called.append("a")), (lambda: called.append("b"))
    time_in_turns(a, b, blocks, warmup, lambda: 0.5 + len(called), rng=rng)
    return "".join(called)


@task("14.4")
@pytest.mark.parametrize("warmup", [0, 2])
def test_blocks_are_palindromes(student, warmup):
    """After the warm-up calls each block is abba or baab, and both occur."""
    order = student.define(record_order)(student.benchmarking.time_in_turns, 40, warmup, student.rng(0))
    call = f"the order of calls in time_in_turns(a, b, 40, {warmup}, clock, rng=…)"
    expect.equal(sorted(order[: 2 * warmup]), ["a"] * warmup + ["b"] * warmup, call=f"the warm-up calls: {call}")
    found = set(re.findall("....", order[2 * warmup :]))
    expect.equal(len(order), 2 * warmup + 160, call=f"the number of calls: {call}", hint="four in each block")
    hint = "never call all of one and then all of the other; rng tosses a coin for the outer function"
    expect.equal(sorted(found), ["abba", "baab"], call=f"the blocks: {call}", hint=hint)


@task("14.4")
def test_each_function_has_its_own_column(student, rng):
    """A row has the time of the baseline's two calls first and of the candidate's two second, whichever began."""
    costs = rng.uniform(1, 9, 54)
    machine = Machine(student, lambda _, n: costs[n] if n < 54 else 1.0)
    got = time_both_functions(student, machine, 12, 3)
    began = np.array([name == "a" for name in machine.called])
    expect.equal(len(began), 54, call="calls of time_in_turns(a, b, 12, 3, clock, rng=…)")
    is_a, blocks = began[6:].reshape(12, 4), costs[6:].reshape(12, 4)
    rows = np.stack([np.where(is_a, blocks, 0).sum(axis=1), np.where(is_a, 0, blocks).sum(axis=1)], axis=1)
    hint = "add up both calls; the baseline's column is the first, even in a block that the candidate begins"
    expect.array(got, rows, rtol=1e-9, dtype="float64", call="time_in_turns(a, b, 12, 3, clock, rng=…)", hint=hint)


@task("14.4")
def test_a_steady_drift_cancels(student):
    """If each call takes longer than the previous one by the same amount, both columns are equal."""
    machine = Machine(student, lambda _, n: 10.0 + n)
    got = time_both_functions(student, machine, 10, warmup=0)
    call = "candidate - baseline in each block, for equal functions whose calls take 10, 11, 12, … seconds"
    hint = "a b b a: the first and the last call take as long as the two between them"
    expect.array(np.diff(pull_seconds(got), axis=1), np.zeros((10, 1)), atol=1e-9, call=call, hint=hint)


def pull_seconds(seconds):
    """Return the result as an array in the grader's process; anything that is not an array is a failure."""
    return expect.pull(seconds, call="time_in_turns(…)")


@task("14.4")
def test_the_generator_decides_who_begins(student):
    """The same seed repeats the order, a different seed changes it, and each side begins about half of the blocks."""
    record = student.define(record_order)
    once, again, other, long = (
        record(student.benchmarking.time_in_turns, blocks, 0, student.rng(seed))
        for seed, blocks in ((1, 30), (1, 30), (2, 30), (3, 400))
    )
    expect.equal(once, again, call="the order of calls with the same seed, twice")
    expect.that(once != other, call="the order with seeds 1 and 2", got="the same", expected="different")
    begun = long[::4].count("a")
    expect.that(150 <= begun <= 250, call="blocks of 400 that the baseline began", got=begun, expected="about 200")


@task("14.4")
def test_the_collector_is_off_in_turns(student, collector):
    """The collector is off during the measured calls of both functions and on again afterwards, even after an error."""
    states, machine = [], Machine(student, None)

    def note_collector_state():
        states.append(collector.isenabled())

    student.benchmarking.time_in_turns(
        note_collector_state, note_collector_state, 2, 1, machine.clock, rng=student.rng(0)
    )
    hint = "pause_collector() around the blocks, after the warm-up calls"
    expect.equal(states[2:], [False] * 8, call="gc.isenabled() in each measured call of time_in_turns", hint=hint)
    expect.equal(collector.isenabled(), True, call="gc.isenabled() after time_in_turns", hint=hint)
    two = student.tensor.Tensor([1.0, 2.0])
    with expect.raises(ValueError, call="time_in_turns of a function that fails"):
        student.benchmarking.time_in_turns(two.item, two.item, 2, 0, rng=student.rng(0))
    expect.equal(collector.isenabled(), True, call="gc.isenabled() after time_in_turns has failed", hint=hint)


# 14.5: faster, slower, or cannot tell


def draw_blocks(rng, blocks, factor):
    """Return seconds (blocks, 2) of a noisy machine on which the candidate takes `factor` times as long.

    All calls are about 3% slower than they could be, and in addition one in a hundred takes up to eight times as long.
    """
    shape = (blocks, 2, 2)
    noise = 1 + 0.03 * np.abs(rng.normal(size=shape))
    spikes = np.where(rng.random(shape) < 0.01, rng.uniform(1, 8, shape), 0)
    return (np.array([[1.0], [factor]]) * noise * (1 + spikes)).sum(axis=2)


def judge_each(judge, comparisons, rng):
    """Return the verdict on each comparison. Run it on the student's side: one message instead of hundreds."""
    return [judge(seconds, rng=rng)["verdict"] for seconds in comparisons]


def count_verdicts(student, rng, experiments, factor):
    """Return how often each verdict was reached on a noisy machine."""
    verdicts, generator = {"faster": 0, "slower": 0, "cannot tell": 0}, student.rng(int(rng.integers(1 << 30)))
    comparisons = np.stack([draw_blocks(rng, 30, factor) for _ in range(experiments)])
    for got in student.define(judge_each)(student.benchmarking.judge, comparisons, generator):
        call = 'judge(…)["verdict"]'
        expect.that(got in verdicts, call=call, got=got, expected="faster, slower or cannot tell")
        verdicts[got] += 1
    return verdicts


@task("14.5")
def test_a_verdict_compares_the_candidate_with_the_baseline(student):
    """If the candidate takes 0.9, 1 or 1.1 times as long in every block, ratio and verdict are known."""
    baseline = np.arange(1.0, 13.0)
    for ratio, verdict in ((0.9, "faster"), (1.0, "cannot tell"), (1.1, "slower")):
        seconds = np.stack([baseline, ratio * baseline], axis=1)
        got, call = student.benchmarking.judge(seconds, rng=student.rng(0)), f"judge(12 blocks of ratio {ratio}, rng=…)"
        expect.equal(sorted(got), ["high", "low", "ratio", "verdict"], call=f"the names in {call}")
        hint = "candidate / baseline; below 1 the candidate takes less time"
        for name in ("ratio", "low", "high"):
            expect.array(got[name], ratio, rtol=1e-9, call=f'{call}["{name}"]', hint=hint)
        if ratio != 1:
            expect.equal(got["verdict"], verdict, call=f'{call}["verdict"]', hint=hint)
    got = student.benchmarking.judge([[2.0, 2.0]] * 8, rng=student.rng(0))
    hint = "an interval that ends at 1 does not lie entirely on one side of it"
    expect.equal(got["verdict"], "cannot tell", call="the verdict of 8 blocks of equal times", hint=hint)


@task("14.5")
def test_one_disturbed_block_does_not_count(student):
    """The ratio is the median of the blocks' ratios, so a block a hundred times as long hardly changes it."""
    seconds = np.stack([np.arange(10.0, 31.0), np.arange(10.0, 31.0) * np.linspace(0.85, 0.95, 21)], axis=1)
    seconds[20] = [30.0, 5000.0]
    got = student.benchmarking.judge(seconds, rng=student.rng(1))
    call = "judge(20 blocks from 0.85 to 0.95, and one of 167, rng=…)"
    expect.array(
        got["ratio"], 0.9, rtol=1e-9, call=f'{call}["ratio"]', hint="take a ratio in each block, then the median"
    )
    expect.equal(got["verdict"], "faster", call=f'{call}["verdict"]')
    inside = 0.85 <= got["low"] <= 0.9 <= got["high"] <= 0.95
    expect.that(inside, call=f"low and high of {call}", got=(got["low"], got["high"]), expected="0.85 to 0.95")


@task("14.5")
def test_confidence_decides_how_much_is_enough(student):
    """Nine slower blocks out of twelve are enough for a confidence of one half, but not for 0.999."""
    seconds = [[1.0, 1.1]] * 9 + [[1.0, 0.95]] * 3
    for confidence, wanted in ((0.5, "slower"), (0.999, "cannot tell")):
        got = student.benchmarking.judge(seconds, confidence, rng=student.rng(2))
        call = f"the verdict of 9 blocks of 1.1 and 3 of 0.95 with confidence {confidence}"
        expect.equal(got["verdict"], wanted, call=call, hint="pass the confidence on to the interval")


@task("14.5")
def test_equal_functions_are_rarely_called_different(student, rng):
    """Of 200 comparisons of equal functions, at most 6% end with anything but "cannot tell"."""
    verdicts = count_verdicts(student, rng, 200, 1.0)
    hint = "a verdict needs the whole interval on one side of 1"
    call = "wrong verdicts in 200 comparisons of equal functions on a noisy machine"
    expect.that(200 - verdicts["cannot tell"] <= 12, call=call, got=verdicts, expected="at most 12", hint=hint)


@task("14.5")
@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "faster"), (1.1, "slower")])
def test_ten_percent_are_found(student, rng, factor, verdict):
    """At least 95 of 100 comparisons find a difference of 10%, even though calls are disturbed."""
    verdicts = count_verdicts(student, rng, 100, factor)
    call = f"verdicts of 100 comparisons in which the candidate takes {factor} times as long"
    hint = "the few calls that were disturbed affect a mean, but not a median"
    expect.that(verdicts[verdict] >= 95, call=call, got=verdicts, expected=f'at least 95 "{verdict}"', hint=hint)


def judge_in_turns(benchmarking, costs, rng):
    """Return the verdict of each comparison of equal functions, whose calls take these seconds, one after the other.

    Run it on the student's side, where thousands of calls need no messages.
    """
    verdicts = []
    for of_calls in costs:
        now, left = [0.5], list(of_calls[::-1])

        def make_function(now=now, left=left):
            def take_time():
                now[0] += float(left.pop())

            return take_time

        functions = make_function(), make_function()
        seconds = benchmarking.time_in_turns(*functions, 12, 1, lambda now=now: now[0], rng=rng)
        verdicts.append(benchmarking.judge(seconds, rng=rng)["verdict"])
    return verdicts


DRIFTS = {
    "slower and slower, up to three times as slow": lambda n, _: 1 + n / 24,
    "faster and faster": lambda n, _: 3 - n / 26,
    "twice as slow after some call": lambda n, start: 2 if n >= start else 1,
    "every second call slow": lambda n, start: 1.3 if (n + start) % 2 else 1,
    "one call of four slow": lambda n, start: 1.3 if (n + start) % 4 == 0 else 1,
    "slow and fast in turn, in waves": lambda n, start: 1.5 + math.sin((n + start) / 5),
}


@task("14.5")
@pytest.mark.parametrize("name", DRIFTS, ids=[name.replace(" ", "-") for name in DRIFTS])
def test_no_drift_fools_a_comparison_in_turns(student, rng, name):
    """However the machine's speed changes, equal functions that take turns rarely seem different."""
    costs, drift, generator = np.zeros((25, 60)), DRIFTS[name], student.rng(int(rng.integers(1 << 30)))
    for of_calls in costs:
        start, noise = int(rng.integers(48)), rng.normal(1, 0.01, 60)
        of_calls[:] = [drift(n, start) * noise[n] for n in range(60)]
    verdicts = student.define(judge_in_turns)(student.benchmarking, costs, generator)
    wrong = sum(verdict != "cannot tell" for verdict in verdicts)
    call = f"wrong verdicts in 25 comparisons of equal functions on a machine with this drift: {name}"
    expect.that(wrong <= 6, call=call, got=wrong, expected="at most 6", hint="compare within each block")


@task("14.5")
def test_too_little_is_no_verdict(student):
    """Fewer than 8 blocks, or a block in which a function took no time, raises a ValueError."""
    hint = "check that there are at least 8 blocks, and that every time in them is above 0"
    for last in ([0.0, 2.0], [1.0, 0.0], [-1.0, 2.0]):
        with expect.raises(ValueError, call=f"judge(10 blocks, the last of {last}, rng=…)", hint=hint):
            student.benchmarking.judge([[1.0, 2.0]] * 9 + [last], rng=student.rng(0))
    with expect.raises(ValueError, call="judge(7 blocks, rng=…)", hint=hint):
        student.benchmarking.judge([[1.0, 2.0]] * 7, rng=student.rng(0))


# 14.6: count the arithmetic

SHAPES = {  # inputs, output, how many numbers each element of the output sums
    "matmul": [
        ([(3, 4), (4, 5)], (3, 5), 4),
        ([(2, 1, 3, 4), (6, 4, 5)], (2, 6, 3, 5), 4),
        ([(4,), (4, 5)], (5,), 4),
        ([(3, 4), (4,)], (3,), 4),
        ([(7,), (7,)], (), 7),
    ],
    "linear": [([(6, 5), (3, 5)], (6, 3), 5), ([(2, 7, 4), (3, 4), (3,)], (2, 7, 3), 4)],
    "conv2d": [
        ([(2, 3, 8, 9), (4, 3, 3, 2)], (2, 4, 6, 8), 18),
        ([(2, 3, 8, 9), (4, 3, 3, 2), (4,)], (2, 4, 3, 4), 18),
    ],
}


@task("14.6")
@pytest.mark.parametrize("name", SHAPES)
def test_products_count_two_for_each_pair(student, name):
    """Each element of the output sums products: two operations for each, and one more for a bias."""
    for shapes, output, inner in SHAPES[name]:
        wanted = sum(2 * inner + (len(shapes) == 3) for _ in np.ndindex(*output))
        call = f'count_flops("{name}", {shapes}, {output})'
        bias = ", and 1 more for the bias" if len(shapes) == 3 else ""
        hint = f"each of {math.prod(output)} elements of the output sums {inner} products: 2 · {inner} operations{bias}"
        expect.equal(student.benchmarking.count_flops(name, shapes, output), wanted, call=call, hint=hint)


@task("14.6")
@pytest.mark.parametrize("name", SHAPES)
def test_backward_is_one_product_for_each_gradient(student, name):
    """Each gradient of a product costs as much as the product, a bias's gradient is a sum, and others cost nothing."""
    for shapes, output, inner in SHAPES[name]:
        size = math.prod(output)
        costs = 2 * inner * size, 2 * inner * size, size
        for given in itertools.product([True, False], repeat=len(shapes)):
            wanted = sum(cost for cost, there in zip(costs, given, strict=False) if there)
            got = student.benchmarking.count_backward_flops(name, shapes, output, list(given))
            call = f'count_backward_flops("{name}", {shapes}, {output}, {list(given)})'
            hint = f"a product for each of the first two gradients that is given, {2 * inner * size} operations"
            hint += f"; for the bias's gradient 1 for each element of the output, {size}" if len(shapes) == 3 else ""
            expect.equal(got, wanted, call=call, hint=hint)


@task("14.6")
def test_other_ops_count_by_their_largest_array(student):
    """Any other op counts PER_ELEMENT operations for each element of its largest array."""
    cases = [
        ("add", [(4, 5), (5,)], (4, 5), 20, 0),
        ("multiply", [(4, 1), (5,)], (4, 5), 20, 40),
        ("sum", [(4, 5)], (), 20, 0),
        ("max", [(4, 5)], (4,), 20, 40),
        ("softmax", [(3, 7)], (3, 7), 105, 84),
        ("sigmoid", [(6,)], (6,), 24, 18),
        ("max_pool2d", [(2, 3, 4, 4)], (2, 3, 2, 2), 96, 96),
        ("batch_norm", [(2, 3, 4, 4), (3,), (3,)], (2, 3, 4, 4), 768, 864),
        ("reshape", [(4, 5)], (20,), 0, 0),
        ("exp", [()], (), 1, 1),
        ("relu", [(0, 3)], (0, 3), 0, 0),
    ]
    for name, shapes, output, forward, backward in cases:
        got, call = student.benchmarking.count_flops(name, shapes, output), f'("{name}", {shapes}, {output}'
        hint = "PER_ELEMENT has the operations forward and backward for each element of the largest array"
        expect.equal(got, forward, call=f"count_flops{call})", hint=hint)
        given = [True] * len(shapes)
        got = student.benchmarking.count_backward_flops(name, shapes, output, given)
        expect.equal(got, backward, call=f"count_backward_flops{call}, {given})", hint=hint)


@task("14.6")
def test_nobody_guesses_an_unknown_op(student):
    """An op that is not in any table raises a ValueError that names it."""
    hint = "look the name up in both tables before anything else"
    with expect.raises(ValueError, call='count_flops("linear_int8", …)', mentions=("linear_int8",), hint=hint):
        student.benchmarking.count_flops("linear_int8", [(2, 3)], (2, 4))


# 14.7: a profile of work


@task("14.7")
def test_bytes_are_read_and_written_once(student):
    """An array that is read counts once, even if passed again; written arrays count, but views and None do not."""
    tensor, count = student.tensor, student.benchmarking.count_bytes
    x = student.hold(tensor.Tensor(np.arange(12.0)), "data")
    w = student.hold(tensor.Tensor(np.ones((2, 3), "float32")), "data")
    y, z = (student.hold(tensor.Tensor(np.ones(shape, "float32")), "data") for shape in ((5,), (7, 2)))
    view = student.hold_result(x.reshape, (3, 4))
    cases = [
        ([x], [y], 96 + 20, "96 bytes are read, and 20 are written"),
        ([x, w], [y, z], 96 + 24 + 20 + 56, "96 and 24 bytes are read, and 20 and 56 are written"),
        ([w, w], [y], 24 + 20, "w is read only once"),
        ([x], [None, y, None], 96 + 20, "a None counts as nothing"),
        ([x, w], [None], 0, "nothing is written, so nothing moves"),
        ([x], [view], 0, "a view of x writes nothing, and therefore reads nothing"),
        ([w, x], [view, y], 24 + 96 + 20, "the view is free, y is not"),
        ([], [y], 20, "nothing is read, and 20 bytes are written"),
    ]
    for read, written, wanted, hint in cases:
        call = f"count_bytes({len(read)} arrays, {len(written)} arrays) in the case: {hint}"
        expect.equal(count(read, written), wanted, call=call, hint=hint)


def run_profile(student, compute, clock=None):
    """Run a computation on a tape; return its profile and its result."""
    profile = student.benchmarking.WorkProfile() if clock is None else student.benchmarking.WorkProfile(clock)
    with student.autograd.Tape(), profile:
        return profile, compute()


def expect_work(profile, wanted, call):
    """Compare calls, flops and bytes with {name: (calls, flops, bytes)}."""
    hints = {
        "calls": "count forward when it runs, and count backward when it runs, in the op that you pass on",
        "flops": "from the shapes of inputs and output; backward also needs which gradients are not None",
        "bytes": "forward reads the inputs' arrays and writes the output; backward reads grad, output and the inputs' "
        "arrays, and writes the gradients",
    }
    for place, (name, hint) in enumerate(hints.items()):
        of_ops = {op: work[place] for op, work in sorted(wanted.items())}
        expect.equal(dict(sorted(getattr(profile, name).items())), of_ops, call=f"profile.{name} of {call}", hint=hint)


@task("14.7")
def test_a_training_step_is_counted_forward_and_backward(student, rng):
    """Calls, operations and bytes of a small network are exact; each op's backward has its own name."""
    layers, tensor = student.layers, student.tensor
    first, last = layers.Dense(5, 7, rng=student.rng(0)), layers.Dense(7, 3, bias=False, rng=student.rng(1))
    network = layers.Sequential(first, student.activations.ReLU(), last)
    student.autograd.require_grad(network.parameters())
    x, y = (tensor.Tensor(rng.normal(size=size).astype("float32")) for size in ((4, 5), (4, 3)))
    profile, loss = run_profile(student, lambda: layers.MSELoss()(network(x), y))
    hidden = 4 * 7 * 4
    forward = {
        "linear": (2, 2 * 4 * 7 * 5 + 28 + 2 * 4 * 3 * 7, 80 + 140 + 28 + hidden + hidden + 84 + 48),
        "relu": (1, 28, 2 * hidden),
        "mse": (1, 3 * 12, 48 + 48 + 4),
    }
    expect_work(profile, forward, "a forward pass, batch of 4, 5-7-3")
    loss.backward()
    first_bytes = 2 * hidden + 80 + 140 + 28 + 80 + 140 + 28
    last_bytes = 2 * 48 + hidden + 84 + hidden + 84
    backward = {
        "linear backward": (2, 2 * (2 * 4 * 7 * 5) + 28 + 2 * (2 * 4 * 3 * 7), first_bytes + last_bytes),
        "relu backward": (1, 28, 4 * hidden),
        "mse backward": (1, 3 * 12, 4 + 4 + 48 + 48 + 48),
    }
    expect_work(profile, forward | backward, "a training step, batch of 4, 5-7-3")
    names = sorted(forward | backward)
    expect.equal(
        sorted(profile.seconds), names, call="the ops in profile.seconds", hint="Profile measures them: super()"
    )


@task("14.7")
def test_a_number_an_array_used_twice_and_a_view(student):
    """A square reads x once, a plain number counts as one element, and a reshape moves nothing."""
    x = student.tensor.Tensor(np.arange(6.0).reshape(2, 3))
    student.autograd.require_grad([x])
    profile, product = run_profile(student, lambda: x * x)
    expect_work(profile, {"multiply": (1, 6, 96)}, "x · x for 6 numbers of 8 bytes")
    product.backward(student.tensor.Tensor(np.ones((2, 3))))
    backward = {"multiply": (1, 6, 96), "multiply backward": (1, 12, 48 * 3 + 2 * 48)}
    expect_work(profile, backward, "x · x, forward and backward")
    profile, _ = run_profile(student, lambda: [(x * 2.0).reshape(3, 2) for _ in range(3)])
    expect_work(profile, {"multiply": (3, 18, 3 * 104), "reshape": (3, 0, 0)}, "(x · 2).reshape(3, 2), three times")


@task("14.7")
def test_what_backward_does_not_compute_is_not_counted(student):
    """If an op's rule returns None for an input, no product and no bytes count for that input."""
    tensor, mse = student.tensor, student.layers.mse
    a, b = (tensor.Tensor(np.ones((4, 4), "float32")) for _ in range(2))
    student.autograd.require_grad([a])
    op = tensor.Op("matmul", mse.forward, mse.backward)  # its rule gives (gradient, None)
    profile, loss = run_profile(student, lambda: tensor.apply(op, a, b))
    loss.backward()
    wanted = {"matmul": (1, 8, 64 + 64 + 4), "matmul backward": (1, 8, 4 + 4 + 64 + 64 + 64)}
    expect_work(profile, wanted, "an op named matmul, of (4, 4) and (4, 4) to (), with a gradient for the first only")


@task("14.7")
def test_the_gradients_and_the_times_are_profiles(student):
    """Gradients equal those without a profile, and times equal those of module 13: counting adds to no op's time."""
    tensor, autograd = student.tensor, student.autograd
    x, (clock, _) = tensor.Tensor([1.0, 3.0]), make_clock(student, [1] * 1000)
    autograd.require_grad([x])
    profile, loss = run_profile(student, lambda: (student.activations.ReLU()(x * x) * x).exp().log().sum(), clock)
    loss.backward()
    expect.array(x.grad, [3.0, 27.0], call="the gradient of (ReLU(x · x) · x).sum(), recorded through a WorkProfile")
    counts = {"multiply": 2.0, "relu": 1.0, "exp": 1.0, "log": 1.0, "sum": 1.0}
    wanted = {f"{op}{half}": n for op, n in counts.items() for half in ("", " backward")}
    hint = "leave the time to super().record; the clock is read once more when the forward has been counted"
    got = dict(sorted(profile.seconds.items()))
    expect.equal(got, dict(sorted(wanted.items())), call="seconds by a clock that ticks at each reading", hint=hint)


@task("14.7")
def test_an_op_gets_the_time_since_the_op_before(student):
    """As in module 13, an op gets the time since its profile last read the clock, even without a tape."""
    tensor = student.tensor
    now, x = tensor.Tensor(np.array(100.0)), tensor.Tensor([1.0, 2.0])
    profile = student.benchmarking.WorkProfile(now.item)
    with profile:
        for seconds in (3.0, 0.5):
            now.data = np.array(now.item() + seconds)
            x.exp()
    expect.equal(profile.seconds, {"exp": 3.5}, call="profile.seconds of two ops that take 3 s and 0.5 s")
    expect.equal(profile.calls, {"exp": 2}, call="profile.calls of two ops without a tape")


@task("14.7")
def test_an_op_without_a_rule_has_none_through_a_profile(student):
    """Backward through an op without a rule raises a RuntimeError that names the op, as it does without a profile."""
    tensor = student.tensor
    x = tensor.Tensor([1.0, 2.0])
    student.autograd.require_grad([x])
    lonely = tensor.Op("equal", tensor.exp.forward)
    _, loss = run_profile(student, lambda: tensor.apply(lonely, x).sum())
    with expect.raises(RuntimeError, call="backward through an op without a rule", mentions=("equal",)):
        loss.backward()


# 14.8: the roofline


@task("14.8")
def test_the_slower_of_two_decides(student):
    """The least time is the longer of the times for arithmetic and for memory; the slower of the two is the limit."""
    roofline = student.benchmarking.Roofline(100.0, 10.0)
    for flops, nbytes, seconds, limit in (
        (1000, 10, 10.0, "arithmetic"),
        (10, 1000, 100.0, "memory"),
        (0, 5, 0.5, "memory"),
        (50, 0, 0.5, "arithmetic"),
        (150, 12, 1.5, "arithmetic"),
        (100, 10, 1.0, "arithmetic"),
    ):
        call = f"({flops}, {nbytes}) of 100 operations and 10 bytes a second"
        hint = (
            f"arithmetic takes {flops} / 100 s, memory {nbytes} / 10 s; both work at the same time: the longer counts"
        )
        got = roofline.least_seconds(flops, nbytes)
        expect.array(got, seconds, rtol=1e-9, call=f"least_seconds{call}", hint=hint)
        if (flops, nbytes) != (100, 10):
            expect.equal(roofline.limit(flops, nbytes), limit, call=f"limit{call}", hint=hint)


@task("14.8")
def test_peaks_come_from_the_best_call(student):
    """The rates are a product's 2n³ operations, and twice a copy's bytes, divided by the shortest time of each."""
    clock, _ = make_clock(student, [4, 2, 5] * 100)
    got = student.benchmarking.measure_roofline(16, 4096, 9, clock)
    call = "measure_roofline(16, 4096, 9, clock) with a clock that advances by 4, 2 and 5 s in turn"
    hint = "2 · 16³ operations in 2 s, the best of all; each element of a product is a sum of n products"
    expect.array(got.flops, 16**3, rtol=1e-9, call=f"flops of {call}", hint=hint)
    hint = "4,096 bytes are read and 4,096 are written in 2 s"
    expect.array(got.bandwidth, 4096.0, rtol=1e-9, call=f"bandwidth of {call}", hint=hint)


@task("14.8")
def test_each_peak_has_a_time_of_its_own(student, rng):
    """Both rates come from the given clock, each from its own times, and more repeats need more readings of it."""
    counts = []
    for repeats in (3, 8):
        steps = rng.uniform(1, 9, 200)
        clock, left = make_clock(student, steps)
        got, call = student.benchmarking.measure_roofline(8, 1000, repeats, clock), f"of measure_roofline(…, {repeats})"
        used = []
        for name, work in (("flops", 2 * 8**3), ("bandwidth", 2 * 1000)):
            rate = getattr(got, name)
            expect.that(type(rate) is float and rate > 0, call=f"{name} {call}", got=rate, expected="a float above 0")
            near = np.abs(steps - work / rate)
            used.append(int(near.argmin()))
            right, hint = bool(near.min() < 1e-6), "work divided by the shortest time between two readings of the clock"
            expect.that(right, call=f"{name} {call}", got=rate, expected=f"{work} divided by a time", hint=hint)
        expect.that(used[0] != used[1], call=f"the times {call}", got="one for both", expected="one for each")
        counts.append(200 - len(left))
    more = counts[0] < counts[1]
    expect.that(more, call="readings of the clock for 3 and for 8 repeats", got=counts, expected="more for 8")


@task("14.8")
def test_ops_are_ranked_by_their_time(student):
    """Each op has a row, the slowest first, with the fraction of the roofline that it reaches."""
    profile, roofline = student.tensor.Trace(), student.benchmarking.Roofline(100.0, 10.0)
    work = {  # seconds, calls, flops, bytes → limit, efficiency
        "exp": ((2.0, 3, 100, 5), ("arithmetic", 0.5)),
        "conv2d": ((8.0, 1, 400, 20), ("arithmetic", 0.5)),
        "relu": ((4.0, 2, 10, 10), ("memory", 0.25)),
        "reshape": ((0.0, 7, 0, 0), (None, math.nan)),
        "linear backward": ((5.0, 4, 50, 30), ("memory", 0.6)),
    }
    for place, name in enumerate(("seconds", "calls", "flops", "bytes")):
        setattr(profile, name, {op: figures[place] for op, (figures, _) in work.items()})
    rows, call = student.benchmarking.rank_ops(profile, roofline), "rank_ops(profile, Roofline(100.0, 10.0))"
    order = ["conv2d", "linear backward", "relu", "exp", "reshape"]
    expect.equal(
        [row["op"] for row in rows], order, call=f"the ops of {call}", hint="the op that took longest comes first"
    )
    for row in rows:
        (seconds, calls, *_), (limit, efficiency) = work[row["op"]]
        place = f"the row of {row['op']} in {call}"
        expect.equal(sorted(row), ["calls", "efficiency", "limit", "op", "seconds"], call=f"the names in {place}")
        expect.equal((row["calls"], row["seconds"]), (calls, seconds), call=f"calls and seconds of {place}")
        hint = "least_seconds of its work, divided by its seconds"
        expect.array(row["efficiency"], efficiency, rtol=1e-9, call=f"efficiency of {place}", hint=hint)
        if limit:
            expect.equal(
                row["limit"], limit, call=f"limit of {place}", hint="pass its flops and bytes to roofline.limit"
            )


# 14.9: peak memory

BOOKKEEPING = 2_000_000  # bytes that a call, and the test code that it calls back, may take besides the arrays


@pytest.fixture
def tracing(student):
    """Return the memory tracing in the student's process, which is off before and after the test."""
    student.benchmarking.tracemalloc.stop()
    yield student.benchmarking.tracemalloc
    student.benchmarking.tracemalloc.stop()


def expect_peak(got, wanted, call, hint=None):
    """Compare a peak with the bytes of the arrays in it."""
    expect.that(type(got) is int, call=call, got=got, expected="an int")
    expected = f"{wanted:,} bytes, and at most {BOOKKEEPING:,} more"
    expect.that(wanted <= got <= wanted + BOOKKEEPING, call=call, got=got, expected=expected, hint=hint)


@task("14.9")
def test_the_peak_is_what_lives_at_the_same_time(student, tracing):
    """Arrays that are alive at the same time add up, and one that is freed makes room for the next."""
    ones = student.benchmarking.np.ones

    def together():
        _ = [student.hold_result(ones, 1_000_000) for _ in range(3)]

    def one_by_one():
        for _ in range(3):
            student.hold_result(ones, 1_000_000)

    for function, arrays in ((together, 3), (one_by_one, 1)):
        call = f"peak_memory of a function that makes three arrays of 8 MB, {function.__name__}"
        expect_peak(student.benchmarking.peak_memory(function), arrays * 8_000_000, call.replace("_", " "))
    expect.equal(tracing.is_tracing(), False, call="tracemalloc.is_tracing() after peak_memory", hint="stop it")


@task("14.9")
def test_what_was_there_before_does_not_count(student, tracing):
    """Memory and peaks from before the call do not count; tracing stays on if it was on."""
    np_ = student.benchmarking.np

    def make_array():
        student.hold_result(np_.ones, 1_000_000)

    tracing.start()
    for numbers in (3_000_000, 1_234_567, 2_345_678):
        kept = student.hold_result(np_.ones, numbers)
        student.hold_result(np_.ones, 4_000_000)
        got = student.benchmarking.peak_memory(make_array)
        call = f"peak_memory of a function that makes 8 MB, with {numbers * 8:,} bytes already in use"
        expect_peak(got, 8_000_000, call, hint="reset the peak, and subtract what was traced before the call")
        del kept
    expect.equal(tracing.is_tracing(), True, call="tracemalloc.is_tracing() after peak_memory, if it was on before")


@task("14.9")
def test_an_error_ends_the_tracing(student, tracing):
    """After a function that fails, tracing is as it was before, and the error reaches the caller."""
    two = student.tensor.Tensor([1.0, 2.0])
    with expect.raises(ValueError, call="peak_memory of a function that fails"):
        student.benchmarking.peak_memory(two.item)
    expect.equal(tracing.is_tracing(), False, call="tracemalloc.is_tracing() after peak_memory has failed")
    tracing.start()
    with expect.raises(ValueError, call="peak_memory of a function that fails, tracing before"):
        student.benchmarking.peak_memory(two.item)
    expect.equal(tracing.is_tracing(), True, call="tracemalloc.is_tracing() after a failure, if it was on before")
