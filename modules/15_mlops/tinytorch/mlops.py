"""A model in use: files that survive, fingerprints, drift, batches, a service and a canary."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from pathlib import Path

import numpy as np


def digest(data: bytes) -> str:
    """Return the SHA-256 digest of bytes as 64 hexadecimal digits: a name that no other bytes have."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path, data: bytes) -> None:
    """Write `data` to a file, completely and on disk, or not at all. No other file is left, even after an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    # BEGIN SOLUTION 15.1
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # END SOLUTION


class Registry:
    """Holds models as bytes: files in "objects" named by their digests, and "serving.json", a list of promoted ones."""

    def __init__(self, folder):
        self.objects, self.serving = Path(folder) / "objects", Path(folder) / "serving.json"
        self.objects.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """Store bytes, unless they are already stored and undamaged, and return their digest."""
        # BEGIN SOLUTION 15.2
        path = self.objects / digest(data)
        if not path.exists() or path.read_bytes() != data:
            write_whole(path, data)
        return path.name
        # END SOLUTION

    def get(self, name: str) -> bytes:
        """Return the bytes with this digest. Raise KeyError if there are none, ValueError if they are damaged."""
        # BEGIN SOLUTION 15.2
        path = self.objects / name
        if len(name) != 64 or not name.isalnum() or not path.exists():
            raise KeyError(f"nothing is stored as {name!r}")
        data = path.read_bytes()
        if digest(data) != name:
            raise ValueError(f"{path} is damaged: its bytes no longer match the digest in its name")
        return data
        # END SOLUTION

    def history(self) -> list[str]:
        """Return the digests that were promoted and not rolled back; the last one is in service."""
        return json.loads(self.serving.read_bytes()) if self.serving.exists() else []

    def promote(self, name: str) -> None:
        """Put a stored object into service, unless it is already in service. Raise the errors of `get`."""
        # BEGIN SOLUTION 15.3
        self.get(name)
        if self.history()[-1:] != [name]:
            write_whole(self.serving, json.dumps([*self.history(), name]).encode())
        # END SOLUTION

    def roll_back(self) -> str:
        """Put the previous object back into service and return its digest. Raise RuntimeError if there is none."""
        # BEGIN SOLUTION 15.3
        history = self.history()[:-1]
        if not history:
            raise RuntimeError("no model was promoted before the one in service")
        self.get(history[-1])
        write_whole(self.serving, json.dumps(history).encode())
        return history[-1]
        # END SOLUTION


def append_record(path, record: dict) -> None:
    """Append a record to a log and sync it: "\\n", 8 digits of its JSON's digest, a space, the JSON, "\\n"."""
    # BEGIN SOLUTION 15.4
    text = json.dumps(record).encode()
    with Path(path).open("ab") as file:
        file.write(b"\n%s %s\n" % (digest(text)[:8].encode(), text))
        file.flush()
        os.fsync(file.fileno())
    # END SOLUTION


def read_records(path) -> tuple[list[dict], list[int]]:
    """Return (records whose digits match, numbers, from 1, of other non-empty lines); ([], []) if there is no file."""
    lines = Path(path).read_bytes().split(b"\n") if Path(path).exists() else []
    # BEGIN SOLUTION 15.4
    whole = [line[:9] == digest(line[9:])[:8].encode() + b" " for line in lines]
    records = [json.loads(line[9:]) for line, fits in zip(lines, whole, strict=True) if fits]
    return records, [i for i, line in enumerate(lines, start=1) if line and not whole[i - 1]]
    # END SOLUTION


def fingerprint(value, path: str = "") -> dict[str, str]:
    """Return the digest of each single value in dicts, lists and tuples, at any depth, under the path that leads to it.

    {"a": {"lr": 0.1}, "b": [3]} has the paths "a.lr" and "b.0". Digests cover an array's dtype, shape and values, and
    the type and value of None, bool, int, float, str, bytes and empty containers. Else raise TypeError, with the path.
    """
    # BEGIN SOLUTION 15.5
    if isinstance(value, dict | list | tuple) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [fingerprint(one, f"{path}.{key}" if path else str(key)) for key, one in pairs]
        return {name: known for prints in inner for name, known in prints.items()}
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        return {path: digest(f"{value.dtype.str} {value.shape} ".encode() + value.tobytes())}
    if value is None or isinstance(value, bool | int | float | str | bytes | dict | list | tuple):
        return {path: digest(f"{type(value).__name__} {value!r}".encode())}
    raise TypeError(f"{path} is a {type(value).__name__}, which has no fingerprint: pass its arrays and numbers")
    # END SOLUTION


def find_differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Return, sorted, the paths at which two fingerprints differ, including those that only one of them has."""
    # BEGIN SOLUTION 15.5
    return sorted(path for path in {**first, **second} if first.get(path) != second.get(path))
    # END SOLUTION


def psi(reference, current, bins: int = 10) -> float:
    """Return the population stability index Σ (q - p) · ln(q / p) of two samples of numbers.

    The reference's distinct quantiles 1/bins, 2/bins, … are the edges of B bins; values on an edge belong to the bin
    above it. For a bin with c of n values, p (reference) and q (current) are (c + ½) / (n + B/2).
    """
    # BEGIN SOLUTION 15.6
    edges = np.unique(np.quantile(reference, np.arange(1, bins) / bins))
    places = [np.searchsorted(edges, sample, side="right") for sample in (reference, current)]
    counts = [np.bincount(place, minlength=len(edges) + 1) + 0.5 for place in places]
    p, q = (count / count.sum() for count in counts)
    return float(((q - p) * np.log(q / p)).sum())
    # END SOLUTION


def ks_test(reference, current) -> tuple[float, float]:
    """Return (D, p) of n and m numbers. D is the largest difference, over all x, between the fractions of values ≤ x.

    With λ = D · √(n · m / (n + m)), p is 2 Σ (-1)^(k-1) · exp(-2k²λ²), k = 1, 2, …, or 1 if λ < 0.3.
    """
    # BEGIN SOLUTION 15.7
    n, m, places = len(reference), len(current), np.concatenate([reference, current])
    below = [np.searchsorted(np.sort(sample), places, side="right") / len(sample) for sample in (reference, current)]
    distance, k = float(np.abs(below[0] - below[1]).max()), np.arange(1, 101)
    scaled = distance * math.sqrt(n * m / (n + m))
    return distance, 1.0 if scaled < 0.3 else float((np.exp(-2 * (k * scaled) ** 2) * np.where(k % 2, 2, -2)).sum())
    # END SOLUTION


def chi2_tail(x: float, df: int) -> float:
    """Return P(X ≥ x) for χ² with df = 1, 2, … degrees of freedom and x ≥ 0.

    With y = x/2: erfc(√y) for df = 1, exp(-y) for df = 2; df + 2 adds y^(df/2) · exp(-y) / Γ(df/2 + 1) to df.
    """
    # BEGIN SOLUTION 15.8
    y, first = x / 2, 2 - df % 2
    halves = [d / 2 for d in range(first, df, 2)] if y else []
    more = (math.exp(a * math.log(y) - y - math.lgamma(a + 1)) for a in halves)
    return sum(more, start=math.erfc(math.sqrt(y)) if first == 1 else math.exp(-y))
    # END SOLUTION


def chi2_test(reference, current) -> tuple[float, float]:
    """Return (χ², p) of two samples of categories, integers or strings; p is 1.0 if there is only one category.

    χ² is Σ (count - expected)² / expected over both samples and all categories; n of N values should hold n/N of each.
    """
    # BEGIN SOLUTION 15.8
    names, places = np.unique(np.concatenate([reference, current]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(names)) for part in np.split(places, [len(reference)])]
    expected = np.outer(np.sum(counts, axis=1), np.sum(counts, axis=0)) / np.sum(counts)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return statistic, chi2_tail(statistic, len(names) - 1) if len(names) > 1 else 1.0
    # END SOLUTION


def holm(p_values, alpha: float = 0.05) -> list[bool]:
    """Return which of m p-values to reject: from the smallest up, number i (from 0) while p ≤ alpha / (m - i)."""
    # BEGIN SOLUTION 15.9
    rejected = [False] * len(p_values)
    for i, place in enumerate(np.argsort(p_values)):
        if p_values[place] > alpha / (len(p_values) - i):
            break
        rejected[place] = True
    return rejected
    # END SOLUTION


def find_drift(reference: dict, current: dict, alpha: float = 0.05) -> dict[str, float]:
    """Compare two tables, {name: array}, with ks_test (floats) or chi2_test; return {name: p} where holm rejects p."""
    # BEGIN SOLUTION 15.9
    tests = [ks_test if values.dtype.kind == "f" else chi2_test for values in reference.values()]
    p_values = [test(reference[name], current[name])[1] for test, name in zip(tests, reference, strict=True)]
    return {name: p for name, p, found in zip(reference, p_values, holm(p_values, alpha), strict=True) if found}
    # END SOLUTION


class Batcher:
    """Lets threads share a model: its own thread calls `predict`, rows (n, …) → n outputs, on batches of rows."""

    def __init__(self, predict, max_batch: int = 32, max_wait: float = 0.005):
        self.predict, self.max_batch, self.max_wait = predict, max_batch, max_wait
        self.waiting, self.closed, self.changed = [], False, threading.Condition()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> Batcher:
        self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        """Accept no more rows; return when the waiting rows are answered and the thread has ended."""
        # BEGIN SOLUTION 15.10
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.thread.join()
        # END SOLUTION

    def submit(self, row) -> Future:
        """Queue a row, even before `with`; `.result()` on the returned future waits. Raise RuntimeError if closed."""
        # BEGIN SOLUTION 15.10
        future: Future = Future()
        with self.changed:
            if self.closed:
                raise RuntimeError("this batcher is closed")
            self.waiting.append((row, future))
            self.changed.notify_all()
        return future
        # END SOLUTION

    def take_batch(self) -> list[tuple]:
        """Wait for a row, then for `max_batch` rows, `max_wait` s or the end; take the first (row, future)s, if any."""
        # BEGIN SOLUTION 15.10
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.closed)
            self.changed.wait_for(lambda: len(self.waiting) >= self.max_batch or self.closed, self.max_wait)
            batch, self.waiting = self.waiting[: self.max_batch], self.waiting[self.max_batch :]
            return batch
        # END SOLUTION

    def answer(self, batch: list[tuple]) -> None:
        """Pass each future its own output, or all of them the error of stacking or `predict`. Skip cancelled ones."""
        # BEGIN SOLUTION 15.11
        batch = [(row, future) for row, future in batch if future.set_running_or_notify_cancel()]
        try:
            outputs = self.predict(np.stack([row for row, _ in batch]))
            answers = [(future.set_result, out) for (_, future), out in zip(batch, outputs, strict=True)]
        except Exception as error:
            answers = [(future.set_exception, error) for _, future in batch]
        for tell, answer in answers:
            tell(answer)
        # END SOLUTION

    def run(self) -> None:
        """Answer batches until closed. If that fails, close and pass the error to all futures: none waits forever."""
        batch: list[tuple] = []
        try:
            while batch := self.take_batch():
                self.answer(batch)
        except BaseException as error:
            with self.changed:
                self.closed = True
                for future in (future for _, future in batch + self.waiting if not future.done()):
                    future.set_exception(error)


class RequestError(Exception):
    """The reason why a request gets no prediction: RequestError(HTTP status, a sentence for the caller)."""


def parse_rows(body: bytes, features: int, max_bytes: int = 65536) -> np.ndarray:
    """Return a request's rows, {"rows": [[…], …]} in JSON, as float32 (n, features), or raise RequestError.

    Raise RequestError 413 if there are more than `max_bytes`, and 400, with the number of features, if the request is
    bad: other JSON, no rows, `true` instead of a number, NaN, or a number too large for float32.
    """
    # BEGIN SOLUTION 15.12
    if len(body) > max_bytes:
        raise RequestError(413, f"{len(body)} bytes are more than {max_bytes}")
    try:
        rows = json.loads(body)["rows"]
        values = np.array(rows, np.float64)
        fits = values.shape == (len(rows), features) and {type(x) for row in rows for x in row} <= {int, float}
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        fits = False
    if not fits or not len(rows) or not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise RequestError(400, f'send {{"rows": [[number, …], …]}} in JSON, with {features} finite numbers per row')
    return values.astype(np.float32)
    # END SOLUTION


class Service:
    """Answers requests with `model`: None, or (its name, a function from rows (n, features) to an array (n, …))."""

    def __init__(self, features: int, model=None, *, max_busy: int = 8, clock=time.perf_counter):
        self.features, self.model, self.clock = features, model, clock
        self.slots, self.recent = threading.Semaphore(max_busy), deque(maxlen=1000)

    def predict(self, body: bytes) -> dict:
        """Return {"model": name, "outputs": lists}. Raise RequestError 503 (no model, busy), 500 (failed) or 4xx."""
        # BEGIN SOLUTION 15.13
        rows, model = parse_rows(body, self.features), self.model
        if model is None or not self.slots.acquire(blocking=False):
            raise RequestError(503, "there is no model" if model is None else "busy; try again later")
        try:
            outputs = np.asarray(model[1](rows))
            if not np.isfinite(outputs).all():
                raise FloatingPointError("outputs are not finite")
        except Exception as error:
            raise RequestError(500, "the model failed") from error
        finally:
            self.slots.release()
        return {"model": model[0], "outputs": outputs.tolist()}
        # END SOLUTION

    def health(self, _body: bytes) -> dict:
        """Return {"model": its name}. Raise RequestError 503 if there is no model."""
        if (model := self.model) is None:
            raise RequestError(503, "there is no model")
        return {"model": model[0]}

    def metrics(self, _body: bytes) -> dict:
        """Return {"requests": {"200": 7, …}, "seconds": {"p50": …, "p90": …, "p99": …}} for up to 1,000 predictions."""
        # BEGIN SOLUTION 15.14
        statuses, taken = zip(*self.recent.copy(), strict=True) if self.recent else ((), ())
        seconds = np.percentile(taken, (50, 90, 99)).tolist() if taken else [None] * 3
        return {"requests": Counter(statuses), "seconds": dict(zip(("p50", "p90", "p99"), seconds, strict=True))}
        # END SOLUTION

    def handle(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Answer POST /predict, GET /health or GET /metrics with (status, JSON), or else with {"error": a sentence}."""
        # BEGIN SOLUTION 15.14
        start, methods = self.clock(), {"/predict": "POST", "/health": "GET", "/metrics": "GET"}
        try:
            if method != methods.get(path):
                raise RequestError(405 if path in methods else 404, f"there is no {method} {path}")
            status, answer = 200, getattr(self, path[1:])(body)
        except RequestError as error:
            status, answer = error.args[0], {"error": error.args[1]}
        if path == "/predict":
            self.recent.append((str(status), self.clock() - start))
        return status, json.dumps(answer).encode()
        # END SOLUTION


def fisher_tail(failures: int, requests: int, other_failures: int, other_requests: int) -> float:
    """Return P(at least this many failures) if chance spreads all failures over all requests (Fisher's exact test)."""
    # BEGIN SOLUTION 15.16
    total, n, m = failures + other_failures, requests, other_requests
    ways = sum(math.comb(n, k) * math.comb(m, total - k) for k in range(failures, min(total, n) + 1))
    return ways / math.comb(n + m, total)
    # END SOLUTION


class Canary:
    """A new model for a `share` of users. `state`: "running", then "rolled back", or "promoted" at the last look."""

    def __init__(self, share: float, salt: str, looks=(100, 200, 300, 400), alpha: float = 0.05):
        self.share, self.salt, self.looks, self.alpha = share, salt, tuple(looks), alpha
        self.state, self.lock, self.requests, self.failures = "running", threading.Lock(), Counter(), Counter()

    def choose(self, user: str) -> str:
        """Return "canary" if promoted, or running and digest("salt:user")[:8] < share · 16⁸, else "stable"."""
        # BEGIN SOLUTION 15.15
        share = {"running": self.share, "rolled back": 0, "promoted": 1}[self.state]
        place = int(digest(f"{self.salt}:{user}".encode())[:8], 16)
        return "canary" if place < share * 16**8 else "stable"
        # END SOLUTION

    def record(self, arm: str, failed: bool) -> str:
        """Count an answer of "canary" or "stable", unless the state is decided, and return the state.

        If the canary's count is in `looks`, roll back if fisher_tail ≤ alpha / len(looks), or promote at the last look.
        """
        # BEGIN SOLUTION 15.16
        with self.lock:
            if self.state == "running":
                self.requests[arm] += 1
                self.failures[arm] += failed
                if arm == "canary" and self.requests[arm] in self.looks:
                    counts = [count[a] for a in ("canary", "stable") for count in (self.failures, self.requests)]
                    last = "promoted" if self.requests[arm] == max(self.looks) else "running"
                    self.state = "rolled back" if fisher_tail(*counts) <= self.alpha / len(self.looks) else last
            return self.state
        # END SOLUTION
