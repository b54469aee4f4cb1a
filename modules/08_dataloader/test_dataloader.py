"""The tests of module 08: each example once per epoch, reproducible batches, threads that end, and safe files."""

import gzip
import math
import pickle
import struct
import time
from contextlib import contextmanager
from itertools import pairwise, product

import numpy as np
import pytest

from grading.testing import expect, task

# 8.1: datasets


@task("8.1")
def test_any_dataset_makes_batches_one_by_one(student, rng):
    """A dataset that can only fetch single examples still returns a batch: an array of inputs and one of targets."""
    images, labels = rng.integers(0, 256, (7, 2, 3), dtype=np.uint8), rng.integers(0, 10, 7)
    dataset = student.dataloader.ListDataset([(image, int(label)) for image, label in zip(images, labels, strict=True)])
    indices = rng.integers(0, 7, 5)
    inputs, targets = dataset.fetch(indices, None)
    call = f"ListDataset(7 pairs of an array (2, 3) and an int).fetch(np.array({indices.tolist()}), None)"
    expect.array(
        inputs, images[indices], dtype="uint8", call=f"{call}[0]", hint="np.stack turns a list of arrays into one array"
    )
    expect.array(targets, labels[indices], dtype="int64", call=f"{call}[1]")
    waves = rng.normal(size=(3, 4)).astype("float32")
    inputs, targets = student.dataloader.ListDataset(list(zip(waves, -waves, strict=True))).fetch(np.arange(2), None)
    expect.array(inputs, waves[:2], dtype="float32", call="the inputs of pairs of float32 arrays")
    expect.array(targets, -waves[:2], dtype="float32", call="the targets of pairs of float32 arrays")


@task("8.1")
def test_array_dataset_holds_pairs(student, rng):
    """An ArrayDataset has a length, and returns untransformed pairs for an int, a slice and an index array."""
    images, labels = rng.normal(size=(6, 2, 3, 3)), rng.integers(0, 10, 6)
    dataset = student.dataloader.ArrayDataset(images, labels, transform=student.spatial.pad)
    expect.equal(len(dataset), 6, call="len(ArrayDataset(6 images, 6 labels))")
    for key in (2, -1, slice(1, 4), np.array([5, 0, 5])):
        inputs, targets = dataset[key]
        expect.array(inputs, images[key], dtype="float64", call=f"dataset[{key}][0]")
        expect.array(targets, labels[key], dtype="int64", call=f"dataset[{key}][1]")


@task("8.1")
def test_array_dataset_needs_a_target_for_each_input(student):
    """Unequal lengths raise a ValueError that states both."""
    for n, m in ((5, 4), (4, 5)):
        with expect.raises(ValueError, mentions=("5", "4"), call=f"ArrayDataset({n} inputs, {m} targets)"):
            student.dataloader.ArrayDataset(np.zeros((n, 2)), np.zeros(m))
    inputs, _ = student.dataloader.ArrayDataset(np.ones((4, 2)), np.zeros(4)).fetch(np.array([1]), None)
    expect.array(inputs, np.ones((1, 2)), call="ArrayDataset(4 inputs, 4 targets).fetch(np.array([1]), None)[0]")


@task("8.1")
def test_array_dataset_transforms_whole_batches(student, rng):
    """fetch() passes all inputs of the batch and its generator to the transform; the targets are unchanged."""
    images, labels = rng.normal(size=(6, 2, 3, 3)), rng.integers(0, 10, 6)
    indices = rng.integers(0, 6, 4)
    call = f"ArrayDataset(images, labels, transform).fetch(np.array({indices.tolist()}), rng)"
    plain = student.dataloader.ArrayDataset(images, labels).fetch(indices, None)
    framed = student.dataloader.ArrayDataset(images, labels, student.define(frame_images)).fetch(indices, (1, 2))
    wanted = np.pad(images[indices], ((0, 0), (0, 0), (1, 1), (2, 2)))
    expect.array(plain[0], images[indices], call=f"{call}[0], without a transform")
    expect.array(framed[0], wanted, call=f"{call}[0]", hint="transform(inputs, rng), once for the whole batch")
    for targets in (plain[1], framed[1]):
        expect.array(targets, labels[indices], call=f"{call}[1]")


@task("8.1")
@pytest.mark.parametrize("indices", [[2, 3, 4], [0, 1, 2, 3, 4, 5], [5], [4, 2, 0]], ids=str)
def test_a_batch_is_a_copy(student, rng, indices):
    """A fetched batch does not change when the dataset's arrays change, even if its examples are consecutive."""
    images, labels = rng.normal(size=(6, 2)), rng.integers(0, 10, 6)
    dataset = student.dataloader.ArrayDataset(images.copy(), labels.copy())
    batch = student.hold_result(dataset.fetch, np.array(indices), None)
    student.hold(dataset, "inputs")[...] = 77
    student.hold(dataset, "targets")[...] = 77
    for part, wanted, what in ((0, images[indices], "inputs"), (1, labels[indices], "targets")):
        call = f"the {what} of ArrayDataset.fetch(np.array({indices}), None), after the dataset's array was overwritten"
        hint = "a slice is a view of the stored array; an index array makes a copy"
        traps = {hint: np.full(wanted.shape, 77)}  # the test's own numbers say nothing else about the batch
        expect.array(batch[part], wanted, call=call, hint=hint, traps=traps)


@task("8.1")
def test_array_dataset_indexes_once(student, rng):
    """Fetching a batch of an ArrayDataset takes less than a third as long as fetching its examples one by one."""
    dataset = student.dataloader.ArrayDataset(
        rng.integers(0, 9, 20_000, np.uint8), rng.integers(0, 9, 20_000, np.uint8)
    )
    indices = rng.permutation(20_000)
    at_once = time_fastest_call(student, lambda: dataset.fetch(indices, None), 20)
    one_by_one = time_fastest_call(student, lambda: student.dataloader.Dataset.fetch(dataset, indices, None), 3)
    expect.that(
        at_once < one_by_one / 3,
        call="fetch(np.array of 20,000 indices, None), ArrayDataset's and Dataset's",
        got=f"{at_once * 1e3:.1f} ms and {one_by_one * 1e3:.1f} ms",
        expected="less than a third of the time",
        hint="index the array once with the entire array of indices",
    )


# 8.2: the order of an epoch


@task("8.2")
@pytest.mark.parametrize(("n", "size"), [(5, 2), (6, 3), (7, 10), (1, 1), (12, 5), (0, 4)])
def test_batches_in_order(student, n, size):
    """Without a generator, the batches hold 0, 1, 2, … in order; drop_last leaves out a smaller last batch."""
    for drop_last in (False, True):
        got = student.dataloader.batch_indices(n, size, drop_last=drop_last)
        wanted = [np.arange(n)[start : start + size] for start in range(0, n, size)]
        wanted = [part for part in wanted if len(part) == size or not drop_last]
        call = f"batch_indices({n}, {size}, drop_last={drop_last})"
        expect.equal([list_batch_indices(part, call) for part in got], [part.tolist() for part in wanted], call=call)


@task("8.2")
def test_batches_in_random_order(student, rng):
    """With a generator, every example is in exactly one batch, in a random order that differs from call to call."""
    n, size, generator = int(rng.integers(700, 999)), int(rng.integers(5, 20)), student.rng(int(rng.integers(2**31)))
    orders = []
    for drop_last in (False, True, False):
        call = f"batch_indices({n}, {size}, rng, drop_last={drop_last})"
        parts = [
            list_batch_indices(part, call) for part in student.dataloader.batch_indices(n, size, generator, drop_last)
        ]
        last = [n % size] if n % size and not drop_last else []
        expect.equal([len(part) for part in parts], [size] * (n // size) + last, call=f"the sizes of {call}")
        order = [i for part in parts for i in part]
        whole = sorted(set(order)) if drop_last else list(range(n))
        expect.equal(sorted(order), whole, call=f"all indices of {call}, sorted", hint="each example at most once")
        expect.that(
            min(order) >= 0 and max(order) < n, call=call, got=f"{min(order)} to {max(order)}", expected="0 to n-1"
        )
        neighbours = sum(abs(a - b) == 1 for part in parts for a, b in pairwise(part))
        expect.that(
            neighbours < n / 10,
            call=call,
            got=f"{neighbours} of {n} examples still next to a neighbour",
            expected="an order in which any example can follow any other",
            hint="shuffle the examples, not the batches",
        )
        orders.append(order)
    expect.that(
        orders[0] != orders[2], call="two calls with one generator", got="the same order", expected="two different ones"
    )


@task("8.2")
def test_every_order_is_as_likely(student, rng):
    """Each of four examples comes first, and is left out by drop_last, about as often as any other example."""
    generator = student.rng(int(rng.integers(2**31)))
    first, absent = np.zeros(4), np.zeros(4)
    for _ in range(400):
        (part,) = student.dataloader.batch_indices(4, 3, generator, drop_last=True)
        order = list_batch_indices(part, "batch_indices(4, 3, rng, drop_last=True)")
        first[order[0]] += 1
        absent[6 - sum(order)] += 1
    for what, counts in (("comes first", first), ("is left out", absent)):
        expect.that(
            bool((abs(counts - 100) < 55).all()),  # 100 ± 8.7, and six deviations are 52
            call=f"how often each of 4 examples {what} in 400 calls to batch_indices(4, 3, rng, drop_last=True)",
            got=counts.astype(int).tolist(),
            expected="about 100 times each",
        )


@task("8.2")
def test_the_order_comes_from_the_generator(student, rng):
    """Two generators in the same state give the same order."""
    seed = int(rng.integers(2**31))
    one, two = (student.dataloader.batch_indices(50, 8, student.rng(seed)) for _ in range(2))
    call = f"batch_indices(50, 8, np.random.default_rng({seed})), twice"
    expect.equal([list_batch_indices(p, call) for p in one], [list_batch_indices(p, call) for p in two], call=call)


# 8.3: the DataLoader


@task("8.3")
def test_loader_yields_tensors(student, rng):
    """Batches are pairs of Tensors: integer targets become int64, and everything else keeps its dtype."""
    images = rng.integers(0, 256, (7, 1, 2, 2), dtype=np.uint8)
    targets = {"int64": rng.integers(0, 256, 7, dtype=np.uint8), "float32": rng.normal(size=(7, 2)).astype("float32")}
    for dtype, its_targets in targets.items():
        loader = student.dataloader.DataLoader(student.dataloader.ArrayDataset(images, its_targets), 3)
        call = f"list(DataLoader(ArrayDataset(7 uint8 images, targets of {its_targets.dtype}), 3))"
        batches = list(loader)
        expect.equal(len(batches), 3, call=f"len({call})")
        for k, (inputs, labels) in enumerate(batches):
            part = slice(3 * k, 3 * k + 3)
            expect.equal(
                [inputs.shape[0], labels.shape[0]], [len(images[part])] * 2, call=f"the lengths in {call}[{k}]"
            )
            expect.array(inputs.numpy(), images[part], dtype="uint8", call=f"{call}[{k}][0].numpy()")
            expect.array(labels.numpy(), its_targets[part], dtype=dtype, call=f"{call}[{k}][1].numpy()")


@task("8.3")
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
def test_loader_knows_how_many_batches(student, n):
    """len(loader) is the number of batches that it yields, with and without drop_last."""
    dataset = student.dataloader.ArrayDataset(np.zeros((n, 2)), np.zeros(n))
    for size in (1, 4, 8):
        for drop_last, wanted in ((False, math.ceil(n / size)), (True, n // size)):
            loader = student.dataloader.DataLoader(dataset, size, drop_last=drop_last)
            call = f"DataLoader({n} examples, {size}, drop_last={drop_last})"
            expect.equal(len(loader), wanted, call=f"len({call})")
            expect.equal(len(list(loader)), wanted, call=f"len(list({call}))")


@task("8.3")
def test_loader_keeps_the_order_unless_told_to_shuffle(student):
    """Without `shuffle`, a generator for the transforms does not change the order."""
    dataset = student.dataloader.ArrayDataset(np.zeros((40, 2)), np.arange(40))
    loader = student.dataloader.DataLoader(dataset, 16, rng=student.rng(0))
    got = [targets.tolist() for _, targets in pull_batches(loader)]
    wanted = [list(range(start, min(start + 16, 40))) for start in range(0, 40, 16)]
    call = "the targets 0 to 39 in an epoch of DataLoader(dataset, 16, rng=rng)"
    expect.equal(got, wanted, call=call, hint="shuffle is False: do not pass the generator to batch_indices")


@task("8.3")
def test_loader_shuffles_pairs_together(student, rng):
    """With shuffle, each epoch contains every example once, with its own target, in a new order."""
    numbers, seed = rng.permutation(1000)[:60], int(rng.integers(2**31))
    dataset = student.dataloader.ArrayDataset(numbers[:, None] * 0.5, numbers)
    epochs = []
    for _ in range(2):
        loader = student.dataloader.DataLoader(dataset, 8, shuffle=True, rng=student.rng(seed))
        for _ in range(2):
            batches = pull_batches(loader)
            inputs, targets = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
            call = "one epoch of DataLoader(60 examples, 8, shuffle=True, rng=rng)"
            expect.array(inputs[:, 0] * 2, targets, call=f"twice the inputs, which are half the targets, in {call}")
            expect.array(np.sort(targets), np.sort(numbers), call=f"all targets of {call}, sorted")
            epochs.append(targets.tolist())
    expect.that(epochs[0] != epochs[1], call="two epochs", got="the same order", expected="a new order for each")
    differs = epochs[0] != numbers.tolist()
    expect.that(differs, call="an epoch with shuffle", got="the stored order", expected="a different order")
    expect.equal(epochs[2:], epochs[:2], call=f"two epochs of another loader, rng=np.random.default_rng({seed})")


@task("8.3")
def test_loader_draws_when_the_epoch_begins(student, rng):
    """epoch() draws everything immediately: the state does not depend on how many of its batches are read."""
    dataset = student.dataloader.ArrayDataset(np.zeros((20, 2)), np.arange(20))
    for shuffle in (False, True):
        seed, states = int(rng.integers(2**31)), []
        for count in (0, 2, 5):
            generator = student.rng(seed)
            batches = student.dataloader.DataLoader(dataset, 4, shuffle, rng=generator).epoch()
            states.append(generator.bit_generator.state)
            for _ in range(count):
                batches.send(None)
            call = f"rng.bit_generator.state after loader.epoch() and {count} of its 5 batches, shuffle={shuffle}"
            hint = "draw before you return the generator of batches, not inside it"
            expect.equal(generator.bit_generator.state, states[0], call=call, hint=hint)
        expect.that(
            not shuffle or states[0] != student.rng(seed).bit_generator.state,
            call="rng.bit_generator.state after loader.epoch(), shuffle=True",
            got="the same state as before",
            expected="a different state, so that the next epoch has a different order",
        )


@task("8.3")
def test_loader_resumes_from_a_saved_state(student, rng):
    """From a generator's state saved before an epoch, another loader produces the batches of that epoch again."""
    dataset, generator = student.dataloader.ArrayDataset(np.zeros((30, 2)), np.arange(30)), student.rng(3)
    loader = student.dataloader.DataLoader(dataset, 7, shuffle=True, rng=generator)
    for _ in range(int(rng.integers(1, 4))):
        list(loader)
    state, wanted = generator.bit_generator.state, [targets.tolist() for _, targets in pull_batches(loader)]
    loader = student.dataloader.DataLoader(dataset, 7, shuffle=True, rng=restore_generator(student, state))
    got = [targets.tolist() for _, targets in pull_batches(loader)]
    call = "an epoch of a new loader whose rng.bit_generator.state was saved before that epoch"
    expect.equal(got, wanted, call=call, hint="the state does not count spawned generators: draw a seed instead")


@task("8.3")
def test_loader_fetches_when_asked(student, rng):
    """A batch is fetched when it is asked for: a broken example raises its error then, and not before."""
    examples = [(rng.normal(size=2), 1) for _ in range(6)] + [None]
    batches = student.dataloader.DataLoader(student.dataloader.ListDataset(examples), 2).epoch()
    for k in range(3):
        inputs, _ = batches.send(None)
        wanted = np.stack([x for x, _ in examples[2 * k : 2 * k + 2]])
        expect.array(inputs, wanted, call=f"batch {k} of a loader whose last example is broken")
    with expect.raises(TypeError, call="the last batch, with None instead of an example"):
        batches.send(None)


@task("8.3")
def test_loader_gives_transforms_the_epochs_own_generator(student, rng):
    """During the epoch, transforms draw from a generator that the loader seeds, and not from the loader's own."""
    images, seed = rng.normal(size=(64, 1, 2, 2)), int(rng.integers(2**31))
    dataset = student.dataloader.ArrayDataset(images, np.arange(64), student.define(add_noise))
    runs = []
    for _ in range(2):
        generator = student.rng(seed)
        loader = student.dataloader.DataLoader(dataset, 16, rng=generator)
        batches = loader.epoch()
        state = generator.bit_generator.state
        first = np.concatenate([expect.pull(inputs, call="a batch") for inputs, _ in batches])
        hint = "pass fetch a separate generator, with a seed drawn from rng"
        expect.equal(generator.bit_generator.state, state, call="the loader's generator after its epoch", hint=hint)
        runs.append([first, np.concatenate([inputs for inputs, _ in pull_batches(loader)])])
        loader = student.dataloader.DataLoader(dataset, 16, rng=restore_generator(student, state))
        again = np.concatenate([inputs for inputs, _ in pull_batches(loader)])
        call = "the inputs of an epoch of a new loader whose rng.bit_generator.state was saved before that epoch"
        hint = "the state does not count spawned generators: draw a seed instead"
        expect.array(again, runs[-1][1], rtol=0, atol=0, call=call, hint=hint)
    for k in range(2):
        expect.array(runs[1][k], runs[0][k], rtol=0, atol=0, call=f"epoch {k + 1} of a loader with the same seed")
    for k, (one, other) in enumerate([(runs[0][0], runs[0][1]), (runs[0][0][:16], images[:16])]):
        compared = ("two epochs", "an epoch and the images")[k]
        differs = not np.array_equal(one, other)
        expect.that(differs, call=compared, got="the same inputs", expected="new random numbers in each epoch")
    loader = student.dataloader.DataLoader(dataset, 64, rng=student.rng(seed))
    count = len({inputs.tobytes() for _ in range(60) for inputs, _ in pull_batches(loader)})
    expect.equal(
        count,
        60,
        call="the number of different epochs out of 60",
        hint="draw the seed from many numbers, such as 2**63",
    )
    plain = student.dataloader.DataLoader(dataset, 16)
    with expect.raises(ValueError, call="list(DataLoader(a dataset whose transform needs rng, 16)) without rng"):
        list(plain)


@task("8.3")
def test_loader_refuses_bad_arguments(student):
    """A batch size below 1, a prefetch below 0, and shuffle without a generator raise a ValueError."""
    dataset, rng = student.dataloader.ArrayDataset(np.zeros((3, 2)), np.zeros(3)), student.rng(0)
    bad = [((0,), {}), ((-1,), {}), ((2,), {"prefetch": -1}), ((2, True), {}), ((2,), {"shuffle": True})]
    for arguments, named in bad:
        given = ", ".join([*map(str, arguments), *(f"{name}={value}" for name, value in named.items())])
        with expect.raises(ValueError, call=f"DataLoader(dataset, {given})"):
            student.dataloader.DataLoader(dataset, *arguments, **named)
    for named in ({"shuffle": True, "rng": rng}, {"rng": rng}, {"prefetch": 0}):
        count = len(list(student.dataloader.DataLoader(dataset, 1, **named)))
        expect.equal(count, 3, call="the number of batches of a loader with valid arguments")


# 8.4: flip


@task("8.4")
@pytest.mark.parametrize(("p", "dtype"), [(0.0, "uint8"), (0.3, "float32"), (0.5, "uint8"), (1.0, "float64")])
def test_flip_mirrors_some(student, rng, p, dtype):
    """Each image is mirrored from left to right with probability p, independently of the others."""
    images = rng.integers(0, 256, (1200, 2, 2, 3)).astype(dtype)
    seen, given = make_observed_tensor(student, images)
    flip = student.dataloader.RandomHorizontalFlip(p) if p != 0.5 else student.dataloader.RandomHorizontalFlip()
    call = f"RandomHorizontalFlip({p})(images, rng), 1,200 {dtype} images of shape (2, 2, 3)"
    got = expect.pull(flip(given, student.rng(int(rng.integers(2**31)))), call=call)
    mirrored = (got.shape == images.shape) and (got == images[..., ::-1]).all(axis=(1, 2, 3))
    hint = "mirror the columns of entire images, in all channels and rows"
    expect.array(got, np.where(np.reshape(mirrored, (-1, 1, 1, 1)), images[..., ::-1], images), call=call, hint=hint)
    expect.array(got, got, dtype=dtype, call=f"the dtype of {call}")
    count, room = int(mirrored.sum()), 6 * math.sqrt(1200 * p * (1 - p))
    expect.that(
        abs(count - 1200 * p) <= room, call=call, got=f"{count} mirrored images", expected=f"about {1200 * p:.0f}"
    )
    expect.array(seen, images, call=f"images after {call}", hint="change a copy", traps={"change a copy": got})


@task("8.4")
def test_flip_draws_from_its_generator(student, rng):
    """Equal states give equal flips, and the next batch differs; a flip without a generator raises a ValueError."""
    images, flip = rng.normal(size=(64, 1, 2, 2)), student.dataloader.RandomHorizontalFlip()
    generators = [student.rng(seed) for seed in (5, 5)]
    (a, b), (c, d) = ([flip(images, generator) for _ in range(2)] for generator in generators)
    expect.array(a, c, call="the first batch with the same seed")
    expect.array(b, d, call="the second batch with the same seed")
    changed = not np.array_equal(expect.pull(a, call="a batch"), expect.pull(b, call="a batch"))
    expect.that(
        changed, call="two batches, one generator", got="the same flips", expected="different flips for each batch"
    )
    with expect.raises(ValueError, call="RandomHorizontalFlip()(images, None)"):
        flip(images, None)


# 8.5: pad and crop


@task("8.5")
@pytest.mark.parametrize(
    ("shape", "padding", "dtype"),
    [
        ((128, 3, 32, 32), 4, "uint8"),
        ((40, 2, 5, 7), 3, "float32"),
        ((9, 1, 4, 3), 0, "float64"),
        ((6, 1, 2, 2), 5, "int64"),
    ],
)
def test_crop_is_a_window_of_the_padded_image(student, rng, shape, padding, dtype):
    """Each image becomes one window of itself in a frame of zeros, with the same window for all channels."""
    images = rng.integers(1, 256, shape).astype(dtype)
    seen, given = make_observed_tensor(student, images)
    call = f"RandomCrop({padding})(images, rng), {dtype} images of shape {shape}"
    crop = student.dataloader.RandomCrop(padding)
    got = expect.pull(crop(given, student.rng(int(rng.integers(2**31)))), call=call)
    hint = "take rows top to top + H and columns left to left + W of the image with zeros around it"
    expect.array(got, match_padded_windows(got, images, padding)[0], dtype=dtype, call=call, hint=hint)
    expect.array(seen, images, call=f"images after {call}", hint="do not change the argument")


@task("8.5")
def test_crop_draws_every_position_equally_often(student, rng):
    """All (2 · padding + 1)² positions are equally frequent, with rows and columns drawn separately for each image."""
    images = rng.integers(1, 256, (1800, 1, 3, 3))
    generator = student.rng(int(rng.integers(2**31)))
    got = expect.pull(student.dataloader.RandomCrop(1)(images, generator), call="RandomCrop(1)(images, rng)")
    windows, places = match_padded_windows(got, images, 1)
    expect.array(got, windows, call="RandomCrop(1)(1800 images of 3×3, rng)")
    counts = np.bincount(places, minlength=9).reshape(3, 3)
    expect.that(
        bool((abs(counts - 200) < 85).all()),  # 200 ± 13.3, and six deviations are 80
        call="how often RandomCrop(1) chose each of the 3×3 positions for 1,800 images",
        got=counts.tolist(),
        expected="about 200 times each",
        hint="draw from 0 to 2 · padding, inclusive",
    )
    following = int((np.diff(places) == 0).sum())
    expect.that(
        following < 400, call="RandomCrop(1)", got=f"{following} images shifted like the one before", expected="200"
    )


@task("8.5")
def test_crop_draws_from_its_generator(student, rng):
    """Equal states give equal crops, and the next batch differs; a crop without a generator raises a ValueError."""
    images, crop = rng.normal(size=(32, 1, 6, 6)), student.dataloader.RandomCrop(2)
    one, two = student.rng(8), student.rng(8)
    first = expect.pull(crop(images, one), call="a batch")
    expect.array(crop(images, two), first, call="RandomCrop(2)(images, rng) with the same seed")
    again = expect.pull(crop(images, one), call="a batch")
    expect.that(not np.array_equal(first, again), call="two batches", got="the same positions", expected="new ones")
    with expect.raises(ValueError, call="RandomCrop(2)(images, None)"):
        crop(images, None)


# 8.6: normalise, and chain transforms

COMPOSE = "give each transform the result of the one before, and the generator"


@task("8.6")
def test_normalize_by_channel(student, rng):
    """Each channel becomes (x - mean) / std; only uint8 is divided by 255 first, and becomes float32."""
    mean, std = rng.uniform(0.2, 0.8, 3), rng.uniform(0.1, 0.5, 3)
    normalize = student.dataloader.Normalize(mean.tolist(), std.tolist())
    pixels = rng.integers(0, 256, (5, 3, 4, 2))
    for dtype, scale, result in (
        ("uint8", 255, "float32"),
        ("float32", 1, "float32"),
        ("float64", 1, "float64"),
        ("int64", 1, "float32"),
        ("bool", 1, "float32"),
    ):
        images = (pixels if dtype == "uint8" else pixels / 50).astype(dtype)
        seen, given = make_observed_tensor(student, images)
        wanted = (images.astype(float) / scale - mean[:, None, None]) / std[:, None, None]
        call = f"Normalize(mean, std)(images of {dtype})"
        hint = "uint8 only: divide by 255" if dtype == "uint8" else None
        expect.array(normalize(given, None), wanted, dtype=result, rtol=1e-5, atol=1e-5, call=call, hint=hint)
        expect.array(seen, images, call=f"images after {call}", hint="change a copy")
    wanted = np.array([0.2, -0.2]).reshape(1, 1, 1, 2)
    got = student.dataloader.Normalize([0.1], [0.5])(np.array([[[[51, 0]]]], np.uint8))
    expect.array(got, wanted, call="Normalize([0.1], [0.5]) of the pixels 51 and 0, uint8")


@task("8.6")
def test_normalize_refuses_other_channels(student):
    """Images whose number of channels differs from the number of means raise a ValueError."""
    normalize = student.dataloader.Normalize([0.5, 0.5], [0.2, 0.2])
    for shape in ((4, 3, 2, 2), (4, 1, 2, 2), (2, 4, 4)):
        with expect.raises(ValueError, call=f"Normalize of 2 channels, images of {shape}"):
            normalize(np.zeros(shape, np.uint8), None)
    expect.array(
        normalize(np.zeros((1, 2, 1, 1), np.uint8)), np.full((1, 2, 1, 1), -2.5), call="Normalize of two black channels"
    )


@task("8.6")
def test_compose_goes_in_order(student, rng):
    """Compose passes the result of each transform to the next, in order; without transforms it returns the images."""
    images = rng.integers(0, 256, (3, 1, 2, 2), dtype=np.uint8)
    first, second = student.dataloader.Normalize([0.5], [0.25]), student.dataloader.Normalize([-1.0], [4.0])
    got = student.dataloader.Compose([first, second])(images, None)
    wanted = ((images / 255 - 0.5) / 0.25 + 1) / 4
    call = "Compose([Normalize 0.5 0.25, Normalize -1 4])(images)"
    expect.array(got, wanted, atol=1e-5, dtype="float32", call=call, hint=COMPOSE)
    got = student.dataloader.Compose([])(images, None)
    expect.array(got, images, dtype="uint8", call="Compose([])(images, None)", hint=COMPOSE)


@task("8.6")
def test_compose_shares_the_generator(student, rng):
    """All transforms in a Compose draw from the same generator, one after another."""
    images, seed = rng.integers(0, 256, (20, 3, 6, 5), dtype=np.uint8), int(rng.integers(2**31))
    flip, crop = student.dataloader.RandomHorizontalFlip(), student.dataloader.RandomCrop(2)
    one, two = student.rng(seed), student.rng(seed)
    got = student.dataloader.Compose([flip, crop, flip])(images, one)
    wanted = flip(crop(flip(images, two), two), two)
    call = "Compose([flip, crop, flip])(images, rng)"
    expect.array(got, expect.pull(wanted, call="flip, crop and flip"), call=call, hint=COMPOSE)


@task("8.6")
def test_augmentation_keeps_up_with_training(student, rng):
    """Loading a batch of 128 with flip, crop and normalise takes less than a tenth as long as a small training step."""
    images, labels = rng.integers(0, 256, (512, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 512)
    loading = student.dataloader
    steps = [loading.RandomHorizontalFlip(), loading.RandomCrop(4), loading.Normalize([0.5] * 3, [0.25] * 3)]
    dataset, generator = loading.ArrayDataset(images, labels, loading.Compose(steps)), student.rng(0)
    loader = loading.DataLoader(dataset, 128, shuffle=True, rng=generator)
    network = student.layers.Sequential(
        student.spatial.Conv2d(3, 16, 3, padding=1, rng=generator), student.activations.ReLU(),
        student.spatial.MaxPool2d(2),
        student.spatial.Conv2d(16, 32, 3, padding=1, rng=generator), student.activations.ReLU(),
        student.spatial.MaxPool2d(2),
        student.spatial.Flatten(), student.layers.Dense(32 * 8 * 8, 10, rng=generator),
    )  # fmt: skip
    criterion = student.dense.CrossEntropyLoss()
    inputs, targets = next(iter(loading.DataLoader(dataset, 4, rng=generator)))
    batch = time_fastest_call(student, lambda: list(loader), 6) / 4
    step = 32 * time_fastest_call(
        student, lambda: student.layers.gradient_descent_step(network, criterion, inputs, targets, 0.01), 4
    )
    expect.that(
        batch < step / 10,
        call="loading 128 CIFAR-10 images with flip, crop and normalise, compared with one training step on them",
        got=f"{batch * 1e3:.1f} ms and {step * 1e3:.1f} ms",
        expected="less than a tenth of the step's time",
        hint="let NumPy move whole batches, without a Python loop over pixels and without needless copies",
    )


# 8.7: working ahead

RELEASE = "the thread is waiting for a permit, and `join` waits for the thread: release one more permit before `join`"


@task("8.7")
@pytest.mark.parametrize("depth", [1, 3, 100])
def test_prefetch_yields_the_same_items(student, rng, depth):
    """The generator yields all items in order, and its thread stops when they run out."""
    before = count_threads(student)
    for items in ([], [None], rng.integers(0, 99, 40).tolist(), [0, False, None, "", 3]):
        got = list(student.dataloader.prefetch(items, depth))
        expect.equal(got, items, call=f"list(prefetch({items}, {depth}))")
        expect_no_more_threads(student, before, f"list(prefetch({items}, {depth}))")


@task("8.7")
def test_prefetch_ends_its_thread_when_left_early(student):
    """Closing or dropping the generator stops its thread, whether the thread is working or waiting."""
    before, in_time, leave = count_threads(student), student.define(ends_in_time), student.define(leave_early)
    for close, taken, pause, depth in product((True, False), (0, 1, 3), (0, 0.05), (1, 2, 8)):
        got, left = leave(in_time, student.dataloader.prefetch, depth, taken, pause, close)
        expect.equal(got, list(range(taken)), call=f"the first {taken} items of prefetch(range(1000), {depth})")
        call = f"{'closing' if close else 'dropping'} prefetch(range(1000), {depth}) at item {taken}"
        expect.that(left, call=call, got="no end within 10 s", expected="an end at once", hint=RELEASE)
        expect_no_more_threads(student, before, f"the threads after {call}")


@task("8.7")
def test_prefetch_changes_no_batch(student, rng):
    """From equal generator states, epochs are the same with and without prefetch, and so are the states afterwards."""
    images, labels = rng.integers(0, 256, (50, 3, 6, 6), dtype=np.uint8), rng.integers(0, 10, 50)
    loading, seed, runs = student.dataloader, int(rng.integers(2**31)), []
    steps = [loading.RandomHorizontalFlip(), loading.RandomCrop(2), loading.Normalize([0.5] * 3, [0.25] * 3)]
    dataset = loading.ArrayDataset(images, labels, loading.Compose(steps))
    for depth in (0, 1, 2, 20):
        generator = student.rng(seed)
        loader = loading.DataLoader(dataset, 8, shuffle=True, rng=generator, prefetch=depth)
        call = f"DataLoader(dataset, 8, shuffle=True, rng=rng, prefetch={depth})"
        run = [pull_batches(loader)]
        # The second epoch is stopped after its first batch, which must not affect the third.
        left = loading.prefetch(loader.epoch(), depth) if depth else loader.epoch()
        run.append([tuple(expect.pull(part, call="a batch") for part in left.send(None))])
        closed = student.define(ends_in_time)(left.close)
        expect.that(
            closed,
            call=f"closing {call} after a batch",
            got="no end within 10 s",
            expected="an end at once",
            hint=RELEASE,
        )
        run.append(pull_batches(loader))
        runs.append((run, generator.bit_generator.state))
        expect.equal(runs[-1][1], runs[0][1], call=f"rng.bit_generator.state after three epochs of {call}")
        for number, (got, wanted) in enumerate(zip(run, runs[0][0], strict=True), start=1):
            expect.equal(len(got), len(wanted), call=f"batches in epoch {number} of {call}")
            for (inputs, targets), (its_inputs, its_targets) in zip(got, wanted, strict=True):
                compared = f"a batch of epoch {number} of {call}, compared with prefetch=0"
                expect.array(targets, its_targets, rtol=0, atol=0, dtype="int64", call=compared)
                expect.array(inputs, its_inputs, rtol=0, atol=0, dtype="float32", call=compared)


@task("8.7")
def test_prefetch_is_bounded(student):
    """The thread waits when enough items are ready, instead of preparing all of them."""
    before = count_threads(student)
    items = student.dataloader.prefetch(list(range(20_000)), 2)
    expect.equal(items.send(None), 0, call="next(prefetch(range(20_000), 2))")
    time.sleep(0.3)
    call = "the threads while 19,999 of 20,000 items of prefetch(items, 2) have not been asked for"
    hint = "use a permit for each item that may wait"
    waits = count_threads(student) > before
    expect.that(waits, call=call, got="the thread has ended", expected="a waiting thread", hint=hint)
    expect.equal(list(items), list(range(1, 20_000)), call="the other items")
    expect_no_more_threads(student, before, "the threads after all items were taken")


@task("8.7")
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefetch_works_ahead_by_depth(student, depth):
    """While the consumer does something else, exactly the next `depth` items are ready or being made."""
    # An iterator that shows how far it has been read, at two bytes per item.
    lines = student.dataloader.io.BytesIO(b".\n" * 400)
    items = student.dataloader.prefetch(lines, depth)
    for taken in range(1, 4):
        items.send(None)
        until = time.monotonic() + 20  # only a stuck thread takes this long
        while (made := lines.tell() // 2) < taken + depth and time.monotonic() < until:
            time.sleep(0.005)
        call = f"the number of items that prefetch(items, {depth}) has made, a while after taking {taken}"
        hint = "the thread makes items until `depth` of them are waiting: give the permit back before you yield"
        expect.that(made >= taken + depth, call=call, got=made, expected=f"{taken + depth}", hint=hint)
        time.sleep(0.1)
        made = lines.tell() // 2
        hint = "take a permit before each item is made: with Queue(depth), depth + 1 items are made"
        expect.that(made <= taken + depth, call=call, got=made, expected=f"{taken + depth}", hint=hint)
    expect.equal(
        len(list(items)), 397, call=f"the number of items after the first 3 of 400 in prefetch(items, {depth})"
    )


@task("8.7")
def test_prefetch_raises_what_the_items_raise(student, rng):
    """An exception raised while an item is made reaches the loop unchanged and in order, and the thread stops."""
    before, loading = count_threads(student), student.dataloader
    for kind, example in ((TypeError, None), (ValueError, (np.zeros(3), 1))):
        examples = [(rng.normal(size=2), k) for k in range(7)] + [example]
        for depth in (1, 2, 50):
            loader = loading.DataLoader(loading.ListDataset(examples), 2, prefetch=depth)
            items = loading.prefetch(loader.epoch(), depth)
            call = f"prefetch(batches, {depth}), where the last batch raises a {kind.__name__}"
            for k in range(3):
                expect.array(items.send(None)[1], [2 * k, 2 * k + 1], call=f"the targets of batch {k} of {call}")
            with expect.raises(kind, call=call, hint="catch it in the thread, and raise it in the generator"):
                items.send(None)
            expect_no_more_threads(student, before, call)
            expect.equal(list(items), [], call=f"the items after the error in {call}")
            with expect.raises(kind, call=f"list(DataLoader(a broken dataset, 2, prefetch={depth}))"):
                list(loader)
    with expect.raises(
        TypeError, call="list(prefetch(5, 2))", hint="5 is not iterable, and that error is reported like any other"
    ):
        list(loading.prefetch(5, 2))
    expect_no_more_threads(student, before, "list(prefetch(5, 2))")


# 8.8: IDX


@task("8.8")
@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "uint8"), (9, "int8"), (11, "int16"), (12, "int32"), (13, "float32"), (14, "float64")]
)
def test_idx_holds_arrays(student, rng, code, dtype):
    """Every type and shape can be read: elements are big-endian in the file, and in this machine's order afterwards."""
    for shape in ((5,), (2, 3), (4, 3, 2), (2, 1, 3, 2), (0, 28, 28), (300,)):
        array = (
            rng.normal(0, 40, shape).astype("int8").astype(dtype) if dtype != "uint8" else rng.integers(0, 256, shape)
        )
        array = array.astype(dtype) * (np.float32(1.7) if dtype.startswith("float") else 1)
        got = student.dataloader.parse_idx(encode_idx_file(code, array.astype(dtype)))
        expect.array(got, array.astype(dtype), dtype=dtype, rtol=0, atol=0, call=f"parse_idx({dtype} of shape {shape})")
    got = student.dataloader.parse_idx(bytes.fromhex("00 00 08 01 00 00 00 02 05 09"))
    expect.array(got, [5, 9], dtype="uint8", call="parse_idx(00 00 08 01 · 00 00 00 02 · 05 09)")


@task("8.8")
def test_idx_is_an_array_like_any_other(student):
    """The array has this machine's byte order and can be changed, even an array of bytes."""
    got = student.dataloader.parse_idx(encode_idx_file(0x0B, np.array([1, 258], "int16")))
    if type(got) is np.ndarray:
        expect.that(got.dtype.isnative, call="parse_idx(int16)", got=f"dtype {got.dtype.str}", expected="native order")
    expect.array(
        got, [1, 258], dtype="int16", call="parse_idx(int16 1 and 258)", hint="the most significant byte comes first"
    )
    got[0] = 7
    expect.array(got, [7, 258], call="array = parse_idx(…); array[0] = 7; array")
    # The array stays in the student's process: a fetched array is a copy, which can always be changed.
    pixels = student.hold_result(student.dataloader.parse_idx, encode_idx_file(0x08, np.array([1, 2], "uint8")))
    expect.that(
        bool(pixels.flags.writeable),
        call="parse_idx(uint8 1 and 2).flags.writeable",
        got="False",
        expected="True",
        hint="np.frombuffer is a view of the bytes themselves, which cannot be changed: copy them",
    )


@task("8.8")
def test_idx_refuses_damage(student, rng):
    """A wrong beginning, an unknown type, a short header, and sizes that do not fit raise a ValueError."""
    good = encode_idx_file(8, rng.integers(0, 256, (3, 5)))
    damaged = {
        "nothing": b"",
        "three bytes": good[:3],
        "a first byte of 1": b"\1" + good[1:],
        "a second byte of 1": b"\0\1" + good[2:],
        "type 0x0A": good[:2] + b"\x0a" + good[3:],
        "text": b"<html><body>404</body></html>",
        "half a header": good[:7],
        "only a header": good[:12],
        "a header one byte short": good[:11],
        "one byte too few": good[:-1],
        "one byte too many": good + b"\0",
        "sizes of other elements": good[:2] + b"\x0b" + good[3:],
        "one axis too many": good[:3] + b"\3" + good[4:],
        "sizes beyond any memory": good[:4] + b"\xff" * 8 + good[12:],
    }
    for what, data in damaged.items():
        with expect.raises(ValueError, call=f"parse_idx of a file of shape (3, 5), damaged: {what}"):
            student.dataloader.parse_idx(data)
    for data in (good[:-1], good + b"\0"):
        with expect.raises(ValueError, mentions=("27", str(len(data))), call=f"parse_idx of {len(data)} bytes, not 27"):
            student.dataloader.parse_idx(data)
    expect.equal(student.dataloader.parse_idx(good).shape, (3, 5), call="parse_idx(an undamaged file).shape")


@task("8.8")
def test_idx_files(student, rng, tmp_path, monkeypatch):
    """read_idx reads a file, gzipped or not, and its ValueError names a damaged file."""
    monkeypatch.chdir(tmp_path)  # for student code that runs in this process, since a worker has its own folder
    array = rng.integers(0, 256, (4, 3))
    for name, data in (
        ("plain-idx2-ubyte", encode_idx_file(8, array)),
        ("packed-idx2-ubyte.gz", gzip.compress(encode_idx_file(8, array))),
    ):
        with TemporaryStudentFile(student, name, data):
            expect.array(student.dataloader.read_idx(name), array, dtype="uint8", call=f"read_idx({name!r})")
        with (
            TemporaryStudentFile(student, name, data[:-1]),
            expect.raises(ValueError, mentions=(name,), call=f"read_idx({name!r}), cut"),
        ):
            student.dataloader.read_idx(name)
    with expect.raises(FileNotFoundError, call='read_idx("nowhere"), a file that does not exist'):
        student.dataloader.read_idx("nowhere")


# 8.9: CIFAR-10


@task("8.9")
def test_cifar_batches_are_read(student, rng):
    """Batches written by Python 2 and by newer versions give images (n, 3, 32, 32), red first, and classes."""
    rows, labels = rng.integers(0, 256, (4, 3072), dtype=np.uint8), [int(n) for n in rng.integers(0, 10, 4)]
    batch = {b"data": rows, b"labels": labels, b"batch_label": b"training batch 1 of 5", b"filenames": [b"a.png"] * 4}
    for how, data in (
        ("like the official files", encode_official_cifar_batch(rows, labels)),
        ("with Python 3, protocol 3", pickle.dumps(batch, protocol=3)),
        ("with Python 3, protocol 4", pickle.dumps(batch, protocol=4)),
    ):
        images, classes = student.dataloader.parse_cifar_batch(data)
        call = f"parse_cifar_batch(a batch of 4, written {how})"
        expect.array(images, rows.reshape(4, 3, 32, 32), dtype="uint8", call=f"{call}[0]")
        expect.array(classes, labels, dtype="int64", call=f"{call}[1]")
    images, classes = student.dataloader.parse_cifar_batch(encode_official_cifar_batch(rows[:0], []))
    expect.equal((images.shape, classes.shape), ((0, 3, 32, 32), (0,)), call="the shapes of an empty batch")


@task("8.9")
def test_no_pickle_calls_anything(student, rng):
    """A batch that asks for any name that an array does not need, however harmless, raises a ValueError."""
    rows = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
    good = {b"data": rows, b"labels": [3, 9]}
    strangers = {
        "builtins.eval": good | {b"labels": PickledCall(eval, "[3, 9]")},
        "builtins.dict": PickledCall(dict, list(good.items())),
        "builtins.getattr": good | {b"more": PickledCall(getattr, "a", "upper")},
        "numpy.zeros": good | {b"data": PickledCall(np.zeros, (2, 3072), "u1")},
        "numpy.uint8": good | {b"more": PickledCall(np.uint8, 7)},
        "numpy.ndarray.tobytes": good | {b"more": np.ndarray.tobytes},
        "collections.OrderedDict": good | {b"more": PickledCall(__import__("collections").OrderedDict)},
    }
    for name, batch in strangers.items():
        call = f"parse_cifar_batch(a batch that asks for {name})"
        with expect_refusal(call):
            student.dataloader.parse_cifar_batch(pickle.dumps(batch, protocol=4))
    for module, name in (("os", "ndarray"), ("numpy", "_reconstruct"), ("numpy", "ndarray.tobytes"), ("io", "open")):
        data = pickle.dumps(good, protocol=3)[:-1] + f"c{module}\n{name}\n0.".encode()
        with expect_refusal(f"parse_cifar_batch(a batch that asks for {module}.{name} and drops it)"):
            student.dataloader.parse_cifar_batch(data)
    data = pickle.dumps(good, protocol=3)[:-1] + b"cnumpy\ndtype\n0."
    expect.equal(
        student.dataloader.parse_cifar_batch(data)[1].tolist(),
        [3, 9],
        call="the labels of a batch that also asks for numpy.dtype",
    )


@task("8.9")
def test_cifar_refuses_other_pickles(student, rng):
    """Wrong types, shapes, keys and classes raise a ValueError, and so does anything that is not a pickle."""
    rows = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
    wrong = {
        "a list": [rows, [1, 2]],
        "no data": {b"labels": [1, 2]},
        "no labels": {b"data": rows},
        "text as keys": {"data": rows, "labels": [1, 2]},
        "data in a list": {b"data": rows.tolist(), b"labels": [1, 2]},
        "data of floats": {b"data": rows.astype("float32"), b"labels": [1, 2]},
        "one axis": {b"data": rows[0], b"labels": [1, 2]},
        "three axes": {b"data": rows.reshape(2, 3, 1024), b"labels": [1, 2]},
        "rows of 3071": {b"data": rows[:, 1:].copy(), b"labels": [1, 2]},
        "one label too few": {b"data": rows, b"labels": [1]},
        "one label too many": {b"data": rows, b"labels": [1, 2, 3]},
        "a class of 10": {b"data": rows, b"labels": [1, 10]},
        "a class of -1": {b"data": rows, b"labels": [-1, 2]},
        "a class that is not an int": {b"data": rows, b"labels": [1, 2.0]},
        "labels in an array": {b"data": rows, b"labels": np.array([1, 2], np.uint8)},
    }
    for what, value in wrong.items():
        with expect.raises(ValueError, call=f"parse_cifar_batch(a pickle with {what})"):
            student.dataloader.parse_cifar_batch(pickle.dumps(value, protocol=4))
    good = pickle.dumps({b"data": rows, b"labels": [0, 9]}, protocol=4)
    for what, data in (("nothing", b""), ("text", b"<html>"), ("half of one", good[:3000]), ("no end", good[:-1])):
        with expect.raises(ValueError, call=f"parse_cifar_batch({what})"):
            student.dataloader.parse_cifar_batch(data)
    expect.equal(
        student.dataloader.parse_cifar_batch(good)[1].tolist(), [0, 9], call="parse_cifar_batch(a good batch)[1]"
    )


@task("8.9")
def test_cifar_files(student, rng, tmp_path, monkeypatch):
    """read_cifar_batch reads a file, and its ValueError names a file that is not a batch."""
    monkeypatch.chdir(tmp_path)
    rows = rng.integers(0, 256, (3, 3072), dtype=np.uint8)
    with TemporaryStudentFile(student, "data_batch_1", encode_official_cifar_batch(rows, [7, 0, 2])):
        images, labels = student.dataloader.read_cifar_batch("data_batch_1")
    expect.array(images, rows.reshape(3, 3, 32, 32), dtype="uint8", call='read_cifar_batch("data_batch_1")[0]')
    expect.array(labels, [7, 0, 2], dtype="int64", call='read_cifar_batch("data_batch_1")[1]')
    call = "read_cifar_batch(a file that holds a list)"
    with (
        TemporaryStudentFile(student, "data_batch_2", pickle.dumps([1, 2])),
        expect.raises(ValueError, mentions=("data_batch_2",), call=call),
    ):
        student.dataloader.read_cifar_batch("data_batch_2")


# What the tests use


def add_noise(inputs, rng):
    """Add random numbers to the inputs. This transform runs in the student's process."""
    if rng is None:
        raise ValueError("this transform needs a generator")
    return inputs + rng.random(inputs.shape)


def frame_images(inputs, rng=None):
    """Put each image into a frame of zeros. Its height and width stand in for a generator."""
    import numpy as np

    if rng is None:
        raise TypeError("the transform got no generator: call it with the inputs and the generator")
    (rows, columns) = rng
    return np.pad(inputs, ((0, 0), (0, 0), (rows, rows), (columns, columns)))


def ends_in_time(function):
    """Call a function in a thread, which may get stuck, and return whether it ends within 10 s; raise its error."""
    import threading

    errors = []

    def run():
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in range(200):  # short waits, so that a process that was paused is not blamed
        thread.join(0.05)
        if not thread.is_alive():
            break
    if errors:
        raise errors[0]
    return not thread.is_alive()


def leave_early(ends_in_time, prefetch, depth, taken, pause, close):
    """Close or drop a generator after a few items; return the items taken, and whether that ended in time."""
    import time

    got = []

    def leave():
        items = prefetch(list(range(1000)), depth)
        got.extend(next(items) for _ in range(taken))
        time.sleep(pause)
        if close:
            items.close()
        del items

    return got, ends_in_time(leave)


@contextmanager
def expect_refusal(call):
    """Expect a ValueError for a pickle that asks for a name that no batch needs."""
    try:
        with expect.raises(ValueError, call=call, hint="find_class raises for every name that is not in ADMITTED"):
            yield
    except expect.Mismatch as mismatch:
        if mismatch.got.startswith("UnpicklingError"):
            mismatch.hint = "`find_class` is right; turn its error into a ValueError in `parse_cifar_batch`"
        raise


def make_observed_tensor(student, array):
    """Return a tensor with a copy of the array, and the array in it, where changes by student code can be seen."""
    tensor = student.tensor.Tensor(array.copy())
    return tensor, student.hold(tensor, "data")


def restore_generator(student, state):
    """Return a generator in the student's process that continues from a saved state."""
    generator = student.rng(99)
    generator.bit_generator.state = state
    return generator


def list_batch_indices(part, call):
    """Return the indices of a batch as a list, after checking their dtype."""
    array = expect.pull(part, call=call)
    expect.that(array.dtype.kind in "iu", call=call, got=f"an array of {array.dtype}", expected="arrays of integers")
    return array.tolist()


def pull_batches(loader):
    """Return one epoch's batches as arrays in the grader's process."""
    return [tuple(expect.pull(part, call="a batch") for part in batch) for batch in loader]


def time_fastest_call(student, function, repeats=5):
    """Return the CPU seconds that the student's process takes for the fastest of several calls."""
    best = math.inf
    for _ in range(repeats):
        start = student.read_clock()
        function()
        best = min(best, student.read_clock() - start)
    return best


def match_padded_windows(got, images, padding):
    """Return, for each image in `got`, the matching window of the padded image (or the first one), and its number."""
    h, w = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    places = np.zeros(len(images), int)
    windows = [padded[:, :, i : i + h, j : j + w] for i in range(2 * padding + 1) for j in range(2 * padding + 1)]
    if got.shape == images.shape:
        for number, window in enumerate(windows):
            places[(got == window).all(axis=(1, 2, 3))] = number
    return np.stack(windows)[places, np.arange(len(images))], places


def count_threads(student):
    """Return the number of threads that run in the student's process."""
    return student.dataloader.threading.active_count()


def expect_no_more_threads(student, wanted, call):
    """Check that no more threads run than before, now or after a short wait."""
    until = time.monotonic() + 5
    while (count := count_threads(student)) > wanted and time.monotonic() < until:
        time.sleep(0.01)
    hint = "tell the thread to stop, and wake it if it waits"
    expect.that(
        count <= wanted,
        call=call,
        got="1 thread is still running" if count == wanted + 1 else f"{count - wanted} threads are still running",
        expected="none",
        hint=hint,
    )


class TemporaryStudentFile:
    """A file that the student's process can read for as long as the block lasts."""

    def __init__(self, student, name, data):
        self.path, self.data = student.dataloader.Path(name), data

    def __enter__(self):
        self.path.write_bytes(self.data)

    def __exit__(self, *_):
        self.path.unlink()


def encode_idx_file(code, array):
    """Return the array as the bytes of an IDX file."""
    kinds = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.astype(kinds[code]).tobytes()
    )


class PickledCall:
    """An object that is pickled as a call to a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def encode_official_cifar_batch(rows, labels):
    """Return a batch as Python 2 and NumPy 1 wrote it, with strings that have no encoding, and NumPy's old names."""

    def encode_text(data):
        return b"T" + struct.pack("<i", len(data)) + data

    kind = (
        b"cnumpy\ndtype\n"
        + encode_text(b"u1")
        + b"K\0K\1\x87R(K\3"
        + encode_text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    shape = b"J" + struct.pack("<i", len(rows)) + b"M\x00\x0c\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + encode_text(b"b") + b"\x87R"
    array += b"(K\1" + shape + kind + b"\x89" + encode_text(rows.tobytes()) + b"tb"
    classes = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    label = encode_text(b"batch_label") + encode_text(b"training batch 1 of 5")
    return b"\x80\2}(" + label + encode_text(b"labels") + classes + encode_text(b"data") + array + b"u."
