# ruff: noqa: PTH103, PTH104, PTH108, PTH118, PTH123, PTH208
"""Another right module 15: the same promises, other ways."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np


def digest(data):
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path, data):
    """By file descriptors, and a rename."""
    memoryview(data)
    target = os.fspath(path)
    folder, name = os.path.split(target)
    other = os.path.join(folder, f".tmp-{name}-{threading.get_ident()}")
    number = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(number, left) :]
            os.fsync(number)
        finally:
            os.close(number)
        os.rename(other, target)
    except BaseException:
        os.unlink(other)
        raise


class Registry:
    """Objects by digest, and a history."""

    def __init__(self, folder):
        self.folder = os.fspath(folder)
        os.makedirs(os.path.join(self.folder, "objects"), exist_ok=True)

    def put(self, data):
        """Write unless `get` is content."""
        name = digest(data)
        try:
            self.get(name)
        except (KeyError, ValueError):
            write_whole(os.path.join(self.folder, "objects", name), data)
        return name

    def get(self, name):
        """Look among the names in the folder, so nothing else can be opened."""
        digits = set("0123456789abcdef")
        if len(name) != 64 or set(name) - digits or name not in os.listdir(os.path.join(self.folder, "objects")):
            raise KeyError(name)
        with open(os.path.join(self.folder, "objects", name), "rb") as file:
            data = file.read()
        if digest(data) == name:
            return data
        raise ValueError(f"object {name} is not what it was")

    def history(self):
        """From the file."""
        try:
            with open(os.path.join(self.folder, "serving.json"), "rb") as file:
                return json.loads(file.read())
        except FileNotFoundError:
            return []

    def _keep(self, history):
        write_whole(os.path.join(self.folder, "serving.json"), json.dumps(history, indent=1).encode())

    def promote(self, name):
        """Add it, if it is another."""
        self.get(name)
        history = self.history()
        if not history or history[-1] != name:
            history.append(name)
            self._keep(history)

    def roll_back(self):
        """Take one away."""
        history = self.history()
        if len(history) < 2:
            raise RuntimeError("nothing to go back to")
        self.get(history[-2])
        self._keep(history[:-1])
        return history[-2]


def append_record(path, record):
    """One write to a descriptor in append mode."""
    text = json.dumps(record)
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(number, ("\n" + digest(text.encode())[:8] + " " + text + "\n").encode())
        os.fsync(number)
    finally:
        os.close(number)


def read_records(path):
    """Line by line."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return [], []
    records, damaged, number = [], [], 0
    while data:
        line, _, data = data.partition(b"\n")
        number += 1
        head, blank, text = line.partition(b" ")
        if not line:
            continue
        if blank and head == digest(text)[:8].encode():
            records.append(json.loads(text))
        else:
            damaged.append(number)
    return records, damaged


def fingerprint(value):
    """With a stack instead of recursion."""
    found, todo = {}, [("", value)]
    while todo:
        path, one = todo.pop()
        if type(one) in (dict, list, tuple) and len(one) > 0:
            inner = one.items() if type(one) is dict else zip(map(str, range(len(one))), one, strict=True)
            todo += [(".".join(filter(None, (path, str(key)))), each) for key, each in inner]
            continue
        hashed = hashlib.sha256(type(one).__name__.encode() + b"\0")
        if isinstance(one, np.ndarray) and one.dtype.kind in "biufcSU":
            hashed.update(json.dumps([one.dtype.str, one.shape]).encode() + np.ascontiguousarray(one).tobytes())
        elif type(one) in (type(None), bool, int, float, str, bytes, dict, list, tuple):
            hashed.update(repr(one).encode())
        else:
            raise TypeError(f"at {path} there is {type(one)}")
        found[path] = hashed.hexdigest()[:20]
    return found


def find_differences(first, second):
    """By sets of pairs."""
    return sorted({path for path, _ in set(first.items()) ^ set(second.items())})


def psi(reference, current, bins=10):
    """By histograms with infinite ends."""
    cuts = sorted(set(np.quantile(reference, np.arange(1, bins) / bins).tolist()))
    shares = []
    for sample in (reference, current):
        above = [len(sample), *(int((sample >= cut).sum()) for cut in cuts), 0]
        counts = [above[k] - above[k + 1] for k in range(len(above) - 1)]
        shares.append([(count + 0.5) / (len(sample) + len(counts) / 2) for count in counts])
    return math.fsum((q - p) * (math.log(q) - math.log(p)) for p, q in zip(*shares, strict=True))


def ks_test(reference, current):
    """By counting at each different value."""
    values, places = np.unique(np.concatenate([reference, current]), return_inverse=True)
    halves = np.split(places, [len(reference)])
    shares = [np.cumsum(np.bincount(part, minlength=len(values))) / len(part) for part in halves]
    distance = float(max(abs(a - b) for a, b in zip(*shares, strict=True)))
    x = distance * math.sqrt(len(reference) * len(current) / (len(reference) + len(current)))
    if x < 0.3:
        return distance, 1.0
    total, sign = 0.0, 2.0
    for k in range(1, 60):
        total += sign * math.exp(-2 * k * k * x * x)
        sign = -sign
    return distance, total


def chi2_tail(x, df):
    """By recursion from df - 2."""
    tail, term, k = (math.erfc((x / 2) ** 0.5), 1, 1) if df % 2 else (math.exp(-x / 2), 1, 2)
    while k < df:
        if x > 0:
            tail += math.exp(k / 2 * math.log(x / 2) - x / 2 - math.lgamma(k / 2 + 1)) * term
        k += 2
    return tail


def chi2_test(reference, current):
    """By dicts of counts."""
    counts = [{}, {}]
    for count, sample in zip(counts, (reference, current), strict=True):
        for one in sample.tolist():
            count[one] = count.get(one, 0) + 1
    names, n, m = counts[0].keys() | counts[1].keys(), len(reference), len(current)
    total = 0.0
    for name in names:
        both = counts[0].get(name, 0) + counts[1].get(name, 0)
        for count, size in zip(counts, (n, m), strict=True):
            expected = both * size / (n + m)
            total += (count.get(name, 0) - expected) ** 2 / expected
    return total, chi2_tail(total, len(names) - 1) if len(names) > 1 else 1.0


def holm(p_values, alpha=0.05):
    """By the number that are in front."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    good = 0
    while good < len(order) and p_values[order[good]] <= alpha / (len(order) - good):
        good += 1
    return [i in order[:good] for i in range(len(order))]


def find_drift(reference, current, alpha=0.05):
    """By name."""
    tests = {name: ks_test if np.issubdtype(reference[name].dtype, np.floating) else chi2_test for name in reference}
    found = [(name, test(reference[name], current[name])[1]) for name, test in sorted(tests.items())]
    rejected = holm([p for _, p in found], alpha)
    return dict(pair for pair, fits in zip(found, rejected, strict=True) if fits)


class Batcher:
    """With a lock, an event, and the clock."""

    def __init__(self, predict, max_batch=32, max_wait=0.005):
        self.predict, self.max_batch, self.max_wait = predict, max_batch, max_wait
        self.line, self.over, self.lock, self.news = [], False, threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.daemon = True

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        """Say that it is over, and wait."""
        with self.lock:
            self.over = True
            self.news.set()
        self.thread.join()

    def submit(self, row):
        """Into the line."""
        with self.lock:
            if self.over:
                raise RuntimeError("over")
            self.line.append((row, Future()))
            self.news.set()
            return self.line[-1][1]

    def run(self):
        """Until it is over and the line is empty."""
        while True:
            self.news.wait()
            with self.lock:
                if not self.line and self.over:
                    return
                if not self.line:
                    self.news.clear()
                    continue
            until = time.monotonic() + self.max_wait
            while True:
                with self.lock:
                    if len(self.line) >= self.max_batch or self.over or time.monotonic() >= until:
                        batch = [self.line.pop(0) for _ in range(min(self.max_batch, len(self.line)))]
                        break
                    self.news.clear()
                self.news.wait(max(0.0, until - time.monotonic()))
            with self.lock:
                self.news.set()
            self.answer([pair for pair in batch if pair[1].set_running_or_notify_cancel()])

    def answer(self, batch):
        """All, or none."""
        if not batch:
            return
        try:
            outputs = list(self.predict(np.array([np.asarray(row) for row, _ in batch])))
            if len(outputs) != len(batch):
                raise ValueError(f"{len(outputs)} outputs")
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for k, (_, future) in enumerate(batch):
            future.set_result(outputs[k])


class RequestError(Exception):
    """Status and sentence."""


def parse_rows(body, features, max_bytes=65536):
    """Value by value."""
    if len(body) > max_bytes:
        raise RequestError(413, "too large")
    wrong = RequestError(400, f"rows of {features} numbers, please")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise wrong from None
    rows = request.get("rows") if isinstance(request, dict) else None
    if not isinstance(rows, list) or not rows:
        raise wrong
    for row in rows:
        if not isinstance(row, list) or len(row) != features:
            raise wrong
        for value in row:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise wrong
            if not -3.4028234663852886e38 <= value <= 3.4028234663852886e38:
                raise wrong
    return np.array(rows, dtype=np.float32)


class Service:
    """With one lock around two numbers."""

    def __init__(self, features, model=None, *, max_busy=8, clock=time.perf_counter):
        self.features, self.model, self.max_busy, self.clock = features, model, max_busy, clock
        self.lock, self.inside, self.log = threading.Lock(), 0, []

    def predict(self, body):
        """Count who is inside."""
        rows = parse_rows(body, self.features)
        model = self.model
        if model is None:
            raise RequestError(503, "no model")
        name, function = model
        with self.lock:
            if self.inside >= self.max_busy:
                raise RequestError(503, "busy")
            self.inside += 1
        outputs = None
        try:
            outputs = np.asarray(function(rows))
        except Exception:
            outputs = np.array(np.nan)
        finally:
            with self.lock:
                self.inside -= 1
        if not np.all(np.isfinite(outputs)):
            raise RequestError(500, "it failed")
        return {"outputs": outputs.tolist(), "model": name}

    def metrics(self):
        """Sort and interpolate."""
        with self.lock:
            log = self.log[-1000:]
        requests, ordered = {}, sorted(taken for _, taken in log)
        for status, _ in log:
            requests[str(status)] = requests.get(str(status), 0) + 1

        def quantile(share):
            if not ordered:
                return None
            place = share * (len(ordered) - 1)
            low = math.floor(place)
            high = min(low + 1, len(ordered) - 1)
            return ordered[low] + (place - low) * (ordered[high] - ordered[low])

        return {"requests": requests, "seconds": {"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99)}}

    def handle(self, method, path, body=b""):
        """By cases."""
        start = self.clock()
        try:
            match method, path:
                case "POST", "/predict":
                    status, answer = 200, self.predict(body)
                case "GET", "/metrics":
                    status, answer = 200, self.metrics()
                case "GET", "/health" if self.model is None:
                    status, answer = 503, {"error": "no model"}
                case "GET", "/health":
                    status, answer = 200, {"model": self.model[0]}
                case _, "/predict" | "/health" | "/metrics":
                    status, answer = 405, {"error": "another method, please"}
                case _:
                    status, answer = 404, {"error": "what is that?"}
        except RequestError as error:
            status, answer = error.args[0], {"error": error.args[1]}
        if path == "/predict":
            with self.lock:
                self.log = [*self.log[-999:], (status, self.clock() - start)]
        return status, json.dumps(answer, allow_nan=False).encode()


def fisher_tail(failures, requests, other_failures, other_requests):
    """By logarithms."""

    def ways(n, k):
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    total, m = failures + other_failures, other_requests
    logs = [ways(requests, k) + ways(m, total - k) for k in range(max(failures, total - m), min(total, requests) + 1)]
    everything = ways(requests + m, total)
    return math.fsum(math.exp(one - everything) for one in logs)


class Canary:
    """Counts in two dicts."""

    def __init__(self, share, salt, looks=(100, 200, 300, 400), alpha=0.05):
        self.share, self.salt, self.looks, self.alpha, self.state = share, salt, sorted(looks), alpha, "running"
        self.requests, self.failures = dict.fromkeys(("stable", "canary"), 0), dict.fromkeys(("stable", "canary"), 0)
        self.lock = threading.RLock()

    def choose(self, user):
        """By the first four bytes."""
        if self.state != "running":
            return "canary" if self.state == "promoted" else "stable"
        place = int.from_bytes(hashlib.sha256(f"{self.salt}:{user}".encode()).digest()[:4], "big")
        return "canary" if place / 2**32 < self.share else "stable"

    def record(self, arm, failed):
        """Look, when it is time."""
        with self.lock:
            if self.state != "running":
                return self.state
            self.requests[arm] += 1
            self.failures[arm] += int(failed)
            n = self.requests["canary"]
            if arm == "stable" or n not in self.looks:
                return self.state
            p = fisher_tail(self.failures["canary"], n, self.failures["stable"], self.requests["stable"])
            if p * len(self.looks) <= self.alpha:
                self.state = "rolled back"
            elif n == self.looks[-1]:
                self.state = "promoted"
            return self.state
