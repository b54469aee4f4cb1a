"""The whole training loop: epochs, metrics, when to stop, and checkpoints from which training resumes bit for bit.

Read it in this order: means, convergence, the trainer and its state, checkpoint files, a progress bar.
"""

from __future__ import annotations

import copy
import io
import json
import math
import os
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tinytorch.autograd import Tape, no_grad
from tinytorch.dense import accuracy, set_training
from tinytorch.optimizers import checked, clip_grad_norm
from tinytorch.tensor import Tensor


def means(batches: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """Return the means over all examples, keyed by name, from pairs of a batch's length and its own means.

    A batch of three examples counts three times as much as a batch of one. Raise ValueError if there are no examples.

    >>> means([(3, {"loss": 1.0}), (1, {"loss": 5.0})])
    {'loss': 2.0}
    """
    # BEGIN SOLUTION 11.1
    count = sum(n for n, _ in batches)
    if not count:
        raise ValueError("a mean needs at least one example, and the loader gave no batch")
    return {name: math.fsum(n * values[name] for n, values in batches) / count for name in batches[0][1]}
    # END SOLUTION


def since_best(values: Iterable[float], min_delta: float = 0.0, largest: bool = False) -> int:
    """Return how many values came after the best one: 0 if the last is the best, and the length if all are NaN.

    The first number starts as the best. A later number replaces the best if it is smaller by more than `min_delta`, or,
    with `largest`, larger. [3.0, 2.0, 2.5, 1.9] → 0, and with min_delta=0.5 → 2.
    """
    # BEGIN SOLUTION 11.2
    best, since = math.nan, 0
    for value in values:
        value = -value if largest else value
        better = value < best - min_delta or (math.isnan(best) and not math.isnan(value))
        best, since = (value, 0) if better else (best, since + 1)
    return since
    # END SOLUTION


def has_converged(losses: Sequence[float], window: int = 5, tolerance: float = 0.01) -> bool:
    """Return whether a curve of losses has fallen and is now flat.

    Let B be the mean of the last `window` losses, A the mean of the `window` losses before them, and F the first loss.
    The curve has converged if B < F and |A - B| ≤ tolerance · (F - B). Return False if there are fewer than 2 · window
    losses. Raise ValueError if the window is below 1 or the tolerance below 0.

    >>> has_converged([2.3, 1.0, 0.6, 0.5, 0.5, 0.48], window=2, tolerance=0.05)
    True
    """
    if window < 1 or not tolerance >= 0:
        raise ValueError(f"window={window} must be at least 1, and tolerance={tolerance} at least 0")
    # BEGIN SOLUTION 11.2
    if len(losses) < 2 * window:
        return False
    before, last = (sum(part) / window for part in (losses[-2 * window : -window], losses[-window:]))
    return last < losses[0] and abs(before - last) <= tolerance * (losses[0] - last)
    # END SOLUTION


class EarlyStopping:
    """Stops training when `monitor` has not improved for `patience` epochs, as counted by `since_best`."""

    def __init__(self, monitor: str = "val_loss", patience: int = 3, min_delta: float = 0.0, largest: bool = False):
        self.monitor, self.patience, self.min_delta, self.largest = monitor, patience, min_delta, largest

    def __call__(self, trainer: Trainer) -> None:
        """Set `trainer.stopped` to a reason if its history shows no improvement for `patience` epochs."""
        # BEGIN SOLUTION 11.3
        since = since_best((row[self.monitor] for row in trainer.history), self.min_delta, self.largest)
        if since >= self.patience:
            trainer.stopped = f"{self.monitor} has not improved for {since} epochs"
        # END SOLUTION


def walk(layer) -> Iterator:
    """Yield the layer and all layers inside it, at any depth, always in the same order."""
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from walk(inner)


class Trainer:
    """Trains `network` on the loss that `criterion` computes by repeating forward, backward and step.

    `metrics` maps names to functions (output, targets) → float. With `max_norm`, gradients are clipped. `callbacks` are
    called with the trainer after each epoch. `epoch` and `step` count all epochs and steps so far. `history` has a dict
    for each epoch: "epoch" (from 1), "lr", "loss", the metrics, and the validation figures as "val_loss" and so on.
    Once a callback has set `stopped` to a reason, no further epoch begins.
    """

    def __init__(self, network, criterion, optimizer, *, scheduler=None, max_norm=None, callbacks=(), metrics=None):
        self.network, self.criterion, self.optimizer, self.scheduler = network, criterion, optimizer, scheduler
        self.parts = {"optimizer": optimizer} | ({"scheduler": scheduler} if scheduler else {})
        self.max_norm, self.callbacks = max_norm, list(callbacks)
        self.metrics = {"accuracy": accuracy} if metrics is None else metrics
        self.epoch, self.step, self.history, self.stopped, self.loader = 0, 0, [], None, None

    def measure(self, output: Tensor, targets: Tensor, loss: Tensor) -> dict[str, float]:
        """Return the loss and the metrics of one batch, keyed by name."""
        return {"loss": loss.item()} | {name: float(metric(output, targets)) for name, metric in self.metrics.items()}

    def train_step(self, inputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Take one step: forward on a tape, clear old gradients, backward, clip, step. Return the batch's figures.

        A scheduler whose `every_batch` is True steps as well. If the loss is not finite, raise FloatingPointError with
        the step's number, before any parameter changes.
        """
        # BEGIN SOLUTION 11.4
        with Tape():
            output = self.network(inputs)
            loss = self.criterion(output, targets)
        values = self.measure(output, targets, loss)
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(f"the loss is {values['loss']} in step {self.step + 1}: is lr too large?")
        self.optimizer.zero_grad()
        loss.backward()
        if self.max_norm is not None:
            clip_grad_norm(self.optimizer.parameters, self.max_norm)
        self.optimizer.step()
        if self.scheduler and self.scheduler.every_batch:
            self.scheduler.step()
        self.step += 1
        return values
        # END SOLUTION

    def evaluate(self, loader: Iterable) -> dict[str, float]:
        """Return the mean loss and metrics over all examples, in evaluation mode, without recording anything.

        Afterwards, even after an exception, every layer is in the mode that it was in before.
        """
        modes = [(layer, layer.training) for layer in walk(self.network) if hasattr(layer, "training")]
        # BEGIN SOLUTION 11.5
        batches = []
        try:
            set_training(self.network, False)
            with no_grad():
                for inputs, targets in loader:
                    output = self.network(inputs)
                    batches.append((len(inputs), self.measure(output, targets, self.criterion(output, targets))))
        finally:
            for layer, training in modes:
                layer.training = training
        return means(batches)
        # END SOLUTION

    def fit(self, loader, epochs: int, validation=None, progress: Callable | None = None) -> list[dict]:
        """Train until `epochs` epochs are done, those of earlier calls and a checkpoint included, or `stopped` is set.

        Take one step for each batch, in training mode, and then call `progress(step, steps, loss=…, accuracy=…)` with
        the step's number, the total number of steps, and the batch's figures. After the batches, evaluate `validation`,
        if given, step a scheduler whose `every_batch` is False, add a row to `history`, and call the callbacks in
        order.
        """
        self.loader = loader
        # BEGIN SOLUTION 11.6
        while self.epoch < epochs and self.stopped is None:
            batches, row = [], {"epoch": self.epoch + 1, "lr": self.optimizer.lr}
            set_training(self.network, True)
            for inputs, targets in loader:
                batches.append((len(inputs), self.train_step(inputs, targets)))
                if progress is not None:
                    progress(self.step, epochs * len(loader), **batches[-1][1])
            row |= means(batches)
            if validation is not None:
                row |= {f"val_{name}": value for name, value in self.evaluate(validation).items()}
            if self.scheduler and not self.scheduler.every_batch:
                self.scheduler.step()
            self.epoch += 1
            self.history.append(row)
            for callback in self.callbacks:
                callback(self)
        return self.history
        # END SOLUTION

    def slots(self) -> Iterator[tuple[str, object, str]]:
        """Yield (name, owner, attribute) of all that further epochs depend on, for `getattr`.

        First come the trainer's "epoch", "step", "history" and "stopped". Then follow each parameter, ("parameter.0",
        the tensor, "data"), and each of the network's buffers, ("buffer.0", the tensor, "data"). Layer number i in
        `walk`, if it has a generator, is ("layer.i.rng", `layer.rng.bit_generator`, "state"). A generator of `loader`
        is named "loader.rng".
        """
        # BEGIN SOLUTION 11.7
        yield from ((name, self, name) for name in ("epoch", "step", "history", "stopped"))
        yield from ((f"parameter.{i}", p, "data") for i, p in enumerate(self.network.parameters()))
        yield from ((f"buffer.{i}", b, "data") for i, b in enumerate(self.network.buffers()))
        owners = {f"layer.{i}": layer for i, layer in enumerate(walk(self.network))} | {"loader": self.loader}
        for name, owner in owners.items():
            if getattr(owner, "rng", None) is not None:
                yield f"{name}.rng", owner.rng.bit_generator, "state"
        # END SOLUTION

    def state_dict(self) -> dict:
        """Return copies of all slots by name, and the parts' states under "optimizer.…" and "scheduler.…"."""
        # BEGIN SOLUTION 11.7
        state = {name: copy.deepcopy(getattr(owner, attribute)) for name, owner, attribute in self.slots()}
        return state | {f"{part}.{name}": x for part, it in self.parts.items() for name, x in it.state_dict().items()}
        # END SOLUTION

    def load_state_dict(self, state: Mapping, loader=None) -> None:
        """Load, in place, the state of a trainer built in the same way, and set the loader. ValueError if it differs.

        `loader` is like the one used in training. Without one, for example only to evaluate, "loader.rng" is ignored.
        Raise ValueError if names, shapes or generators differ, or if a slot, such as "step", holds text where a number
        belongs. The message says what is wrong, and nothing but `loader` has changed.
        """
        self.loader = loader
        # BEGIN SOLUTION 11.8
        state = {name: x for name, x in state.items() if name != "loader.rng" or loader is not None}
        own = self.state_dict()
        try:
            self.take(state, own)
        except (KeyError, TypeError, ValueError) as error:
            self.take(own, own)
            raise ValueError(f"this state does not fit: {error}. Build everything as it was when saved") from error
        # END SOLUTION

    def take(self, state: Mapping, own: Mapping) -> None:
        """Put `state` into the slots and parts, after comparing it with `own`, the current state."""
        # BEGIN SOLUTION 11.8
        plain = [name for name, value in own.items() if not isinstance(value, np.ndarray | int | float)]
        numbers = ({name: 0 if name in plain else x for name, x in some.items()} for some in (state, own))
        new = checked(*numbers) | {name: copy.deepcopy(state[name]) for name in plain}
        for name, owner, attribute in self.slots():
            setattr(owner, attribute, new[name])
        for part, it in self.parts.items():
            it.load_state_dict({n.removeprefix(f"{part}."): x for n, x in new.items() if n.startswith(f"{part}.")})
        # END SOLUTION


def write_checkpoint(path, state: Mapping) -> None:
    """Write `state`, a dict of arrays and of values that JSON can hold, to a file, either completely or not at all.

    The file is an uncompressed zip archive of "state.json" and a "name.npy" for each array, without any pickle. It is
    written next to `path` under a temporary name, and replaces `path` in one step once it is on disk. If an error
    is raised, an existing file stays as it was, and no temporary file is left.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    # BEGIN SOLUTION 11.9
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                others = {name: x for name, x in state.items() if not isinstance(x, np.ndarray)}
                archive.writestr("state.json", json.dumps(others, default=np.ndarray.tolist))
                for name in (name for name in state if name not in others):
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, state[name], allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # END SOLUTION


def read_checkpoint(path) -> dict:
    """Return the state that `write_checkpoint` wrote to `path`, without executing anything in the file.

    Raise OSError if the file cannot be read, and ValueError, with the path and advice, if it is damaged or not a
    checkpoint.
    """
    data = Path(path).read_bytes()
    # BEGIN SOLUTION 11.10
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:  # `read` compares every member with its checksum
            contents = {name: archive.read(name) for name in archive.namelist()}
        state = dict(json.loads(contents.pop("state.json")))
        for name, content in contents.items():
            state[name.removesuffix(".npy")] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        return state
    except Exception as error:  # damaged bytes can fail in any way
        advice = "The file has not been changed: resume from an older one, or move it away and train from the start"
        raise ValueError(f"{path} is damaged or not a checkpoint ({error}). {advice}.") from error
    # END SOLUTION


class Checkpoint:
    """Writes the trainer's state to `path`; with `monitor`, only after the best epoch so far.

    Make it the last callback.
    """

    def __init__(self, path, monitor: str | None = None, largest: bool = False):
        self.path, self.monitor, self.largest = path, monitor, largest

    def __call__(self, trainer: Trainer) -> None:
        """Write a checkpoint, unless an earlier epoch was better according to `monitor`."""
        # BEGIN SOLUTION 11.11
        if self.monitor is None or not since_best((row[self.monitor] for row in trainer.history), largest=self.largest):
            write_checkpoint(self.path, trainer.state_dict())
        # END SOLUTION


class ProgressBar:
    """A `progress` function that redraws one line on a terminal, or writes ten lines to a file."""

    def __init__(self, stream=None, redraw: bool | None = None):
        self.stream = stream or sys.stdout
        self.redraw = self.stream.isatty() if redraw is None else redraw
        self.length = 0  # of the line to overwrite

    def __call__(self, step: int, steps: int, **values: float) -> None:
        """Write a line such as "[#####---------------] 2/8 loss 0.5123", with step / steps of its 20 characters filled.

        A redrawn line begins with "\\r", overwrites the rest of the previous line with spaces, and ends with "\\n" only
        after the last step.
        """
        # BEGIN SOLUTION 11.12
        if not self.redraw and step * 10 // steps == (step - 1) * 10 // steps:
            return
        full = 20 * step // steps
        line = f"[{'#' * full}{'-' * (20 - full)}] {step}/{steps} "
        line += " ".join(f"{name} {value:.4g}" for name, value in values.items())
        start, end = ("\r", "" if step < steps else "\n") if self.redraw else ("", "\n")
        print(start + line.ljust(self.length), end=end, file=self.stream, flush=True)
        if self.redraw:
            self.length = len(line)
        # END SOLUTION
