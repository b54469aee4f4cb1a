"""The tests of module 15: files and a registry, a log, fingerprints, drift, batches, a service and a canary.

No test measures time. Where threads are involved, functions in this file run in the student's process and wait for
events, not for a fixed time. They give up after `PATIENCE` seconds, which only code that would never end reaches.
"""

import bisect
import hashlib
import itertools
import json
import math
from pathlib import Path

import numpy as np

from grading.testing import expect, task

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
PATIENCE = 20
KOLMOGOROV = "λ = D · √(n · m / (n + m)); p = 2 Σ (-1)^(k-1) · exp(-2k²λ²) with k = 1, 2, …, or 1 if λ < 0.3"
CHI2_HINT = (
    "count every category of either sample (minlength). Of N values in all, a sample of n should hold n/N of each "
    "category: expected = the sample's sum · the category's sum / N. Add up (count - expected)² / expected over both"
)
FISHER_HINT = (
    "choose the requests that fail: k of the first model's, and the rest of the other's. Add up the numbers of ways "
    "for k from `failures` to the smaller of all failures and `requests`, and divide by the number of all ways"
)
SYNC_HINT = "write, flush, os.fsync(file.fileno()), close, and only then replace"


def compute_sha256(data):
    """Return the digest that a registry must return."""
    return hashlib.sha256(data).hexdigest()


# Functions that run in the student's process, through `student.define`; they import everything they need.


def watch_files(action, arguments, folder):
    """Call `action`, and record each sync and each renaming before it happens.

    Return for each [its name, whether the renamed file's bytes were synced, the bytes of all files in `folder` by
    name].
    """
    import contextlib
    import os
    from pathlib import Path

    seen, synced, stack = [], {}, contextlib.ExitStack()

    def record_step(name, fine):
        files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        seen.append([name, fine, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}])

    def wrap_function(name):
        original = getattr(os, name)

        def record_and_call(*args, **kwargs):
            state = os.stat(args[0])  # noqa: PTH116 - it may also be a file descriptor
            if "sync" in name:
                record_step(name, True)
                synced[state.st_ino] = state.st_size
            else:
                record_step(name, synced.get(state.st_ino) == state.st_size)
            return original(*args, **kwargs)

        setattr(os, name, record_and_call)
        stack.callback(setattr, os, name, original)

    with stack:
        for name in ("fsync", "fdatasync", "rename", "replace", "link"):
            if hasattr(os, name):
                wrap_function(name)
        action(*arguments)
    record_step("end", True)
    return seen


def fail_in_os(names, action, arguments):
    """Call `action` while functions of `os` raise an OSError, and return what it raises as a string."""
    import os

    originals = {name: getattr(os, name) for name in names if hasattr(os, name)}

    def raise_os_error(*_args, **_kwargs):
        raise OSError("the disk is full")

    try:
        for name in originals:
            setattr(os, name, raise_os_error)
        action(*arguments)
    except OSError as error:
        return str(error)
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
    return "nothing"


def read_each_content(read, path, contents):
    """Return what `read` returns for a file with each of these contents."""
    results = []
    for content in contents:
        path.write_bytes(content)
        results.append(read(path))
    return results


def append_to_each_content(append, path, contents, record):
    """Append one more record to a file with each of these contents, and return the files' bytes."""
    results = []
    for content in contents:
        path.write_bytes(content)
        append(path, record)
        results.append(path.read_bytes())
    return results


def call_with_each(function, arguments):
    """Return what a function returns for each tuple of arguments."""
    return [function(*one) for one in arguments]


def fingerprint_layouts(fingerprint, array):
    """Return the fingerprints of one array in several memory layouts."""
    import numpy as np

    wide = np.zeros((array.shape[0], 2 * array.shape[1]), array.dtype)
    wide[:, ::2] = array
    return [fingerprint({"a": one}) for one in (array, np.asfortranarray(array), wide[:, ::2], array.copy())]


def run_batches(batcher, rows, bad, patience):
    """Submit rows, then enter the block; return each row's answer and the rows of each batch.

    The model doubles each row, and raises an error if a row's first number is `bad`.
    """
    batches = []

    def predict(batch):
        batches.append(batch[:, 0].tolist())
        if bad in batches[-1]:
            raise KeyError(f"no answer for {bad}")
        return batch * 2

    batcher.predict = predict
    futures, answers = [batcher.submit(row) for row in rows], []
    with batcher:
        for future in futures:
            try:
                answers.append(future.result(patience).tolist())
            except NotImplementedError:
                raise
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")
    return answers, batches


def run_caller_threads(batcher, callers, each, patience):
    """Let many threads submit numbers at the same time and wait for each; return all [number, answer]."""
    import threading

    batcher.predict = lambda rows: rows**2 + 1
    answers, errors, start = [], [], threading.Barrier(callers)

    def submit_numbers(caller):
        try:
            start.wait(patience)
            for k in range(each):
                number = float(caller * each + k)
                answers.append([number, float(batcher.submit(number).result(patience))])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=submit_numbers, args=(caller,), daemon=True) for caller in range(callers)]
    with batcher:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(patience)
    # Callers that come after the thread has failed learn only that the batcher is closed; the others know why.
    for error in sorted(errors, key=lambda error: type(error) is RuntimeError):
        raise error
    return answers


def submit_with_pause(batcher, patience):
    """Submit two rows, wait a moment, and submit a third; return the sizes of the batches."""
    import time

    sizes = []

    def predict(rows):
        sizes.append(len(rows))
        return rows

    batcher.predict = predict
    with batcher:
        futures = [batcher.submit(1.0), batcher.submit(2.0)]
        time.sleep(0.1)  # a longer wait proves more, and correct code passes with any wait
        futures.append(batcher.submit(3.0))
        for future in futures:
            future.result(patience)
    return sizes


def end_block_early(batcher, rows, fail, patience):
    """Leave the block with rows in the queue, perhaps through an error; return [rows answered, is the thread alive]."""
    import threading

    batcher.predict = lambda batch: batch
    futures, failures = [], []

    def leave_block():
        try:
            with batcher:
                futures.extend(batcher.submit(float(k)) for k in range(rows))
                if fail:
                    raise LookupError("the caller's own")
        except LookupError:
            pass
        except BaseException as error:
            failures.append(error)

    user = threading.Thread(target=leave_block, daemon=True)
    user.start()
    user.join(patience)
    for error in failures:
        raise error
    if user.is_alive():
        return "the block does not end"
    for future in futures:
        if future.done():
            future.result()
    return [sum(future.done() for future in futures), batcher.thread.is_alive()]


def submit_while_block_ends(make, rounds, patience):
    """Submit rows from threads while the block ends; return how many rows were accepted but never answered.

    Threads take turns every 0.1 ms, so that a round is short and its end finds a thread in the middle of `submit`.
    """
    import sys
    import threading

    lost, futures, refused, interval = 0, [], [], sys.getswitchinterval()

    def submit_rows(batcher, ready):
        for k in range(100_000):
            try:
                futures.append(batcher.submit(float(k)))
            except RuntimeError as error:
                refused.append(error)
                break
            finally:
                ready.set()

    sys.setswitchinterval(0.0001)
    try:
        for _ in range(rounds):
            batcher, ready = make(lambda rows: rows), threading.Event()
            threads = [threading.Thread(target=submit_rows, args=(batcher, ready), daemon=True) for _ in range(2)]
            with batcher:
                for thread in threads:
                    thread.start()
                ready.wait(patience)
            for thread in threads:
                thread.join(patience)
            for error in refused:
                if isinstance(error, NotImplementedError):
                    raise error
            for future in futures:
                if future.done():
                    future.result()
            lost += sum(not future.done() for future in futures)
            futures.clear()
    finally:
        sys.setswitchinterval(interval)
    return lost


def cancel_some_rows(batcher, count, cancelled, patience):
    """Cancel some of the queued rows before the block; return the answers to the others, and the batches."""
    batches = []

    def predict(batch):
        batches.append(batch.tolist())
        return batch + 0.5

    batcher.predict = predict
    futures = [batcher.submit(float(k)) for k in range(count)]
    for k in cancelled:
        futures[k].cancel()
    with batcher:
        answers = [future.result(patience) for k, future in enumerate(futures) if k not in cancelled]
    return [float(answer) for answer in answers], batches


def run_wrong_output_count(batcher, count, more, patience):
    """Run a model that first returns `more` outputs than rows, and return what each caller gets."""
    calls = []

    def predict(batch):
        calls.append(len(batch))
        return [0.0] * (len(batch) + (more if len(calls) == 1 else 0))

    batcher.predict = predict
    futures, answers = [batcher.submit(float(k)) for k in range(count)], []
    with batcher:
        for future in futures:
            try:
                answers.append(float(future.result(patience)))
            except NotImplementedError:
                raise
            except Exception as error:
                answers.append(type(error).__name__)
    return answers


def make_model(name, what):
    """Create a model in the student's process; `what` names what it does or what is wrong with it."""
    import numpy as np

    def predict(rows):
        if what == "raises":
            raise OSError("the password is 1234")
        if what in ("nan", "inf", "-inf"):
            outputs = rows.sum(axis=1)
            outputs[-1] = float(what)
            return outputs
        if what == "dtype":
            return np.array([32 if rows.dtype == np.float32 else -1] * len(rows))
        return np.stack([rows.sum(axis=1), rows[:, 0] * 2], axis=1) if what == "two" else rows.sum(axis=1)

    return name, predict


def fill_all_slots(service, name, body, at_once, patience):
    """Hold `at_once` predictions in the model and send one more request; then release them and send another one.

    Return the statuses [while it is busy, those held, afterwards].
    """
    import threading

    inside, let_go = threading.Semaphore(0), threading.Event()
    held, late, failures = [], [], []

    def predict(rows):
        inside.release()
        let_go.wait(patience)
        return rows

    service.model = (name, predict)

    def send_request(answers):
        try:
            service.predict(body)
            answers.append(200)
        except NotImplementedError as error:
            failures.append(error)
            inside.release()
        except Exception as error:
            answers.append(error.args[0])
            inside.release()

    threads = [threading.Thread(target=send_request, args=(held,), daemon=True) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for _ in threads:
        inside.acquire(timeout=patience)
    another = threading.Thread(target=send_request, args=(late,), daemon=True)
    another.start()
    another.join(patience)
    busy = list(late) or ["no answer"]
    let_go.set()
    for thread in (*threads, another):
        thread.join(patience)
    send_request(late)
    for error in failures:
        raise error
    return [busy, sorted(held), late[-1]]


def make_timed_service(service_type, features, waits):
    """Create a service whose clock advances only in the model, by the next of `waits` for each prediction."""
    now, waits = [100.0], iter(waits)

    def predict(rows):
        now[0] += next(waits)
        return rows

    return service_type(features, ("slow", predict), clock=lambda: now[0])


def send_many_requests(service, body, times):
    """Send many requests one after another, and return the set of their statuses."""
    return sorted({service.handle("POST", "/predict", body)[0] for _ in range(times)})


def send_from_threads(service, body, callers, each, patience):
    """Send requests from threads at the same time, and return the set of their statuses."""
    import threading

    statuses, failures = set(), []

    def send_request():
        try:
            for _ in range(each):
                statuses.add(service.handle("POST", "/predict", body)[0])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send_request, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    for error in failures:
        raise error
    return sorted(statuses)


def run_canary_requests(canary, start, failures):
    """Send requests from users start, start + 1, … in turn; `failures` lists for both models whether each fails.

    Return [request, state] where the state changes, the last state, and [requests, failures] of both.
    """
    changes, state = [], "running"
    for number, (stable, new) in enumerate(failures.tolist()):
        arm = canary.choose(f"user {start + number}")
        now = canary.record(arm, new if arm == "canary" else stable)
        if now != state:
            state = now
            changes.append([number, state])
    counts = {arm: [canary.requests[arm], canary.failures[arm]] for arm in ("stable", "canary")}
    return changes, canary.state, counts


def run_canaries(make, starts, failures):
    """Send requests to one canary for each start until it has decided, and return the last state of each."""
    states = []
    for start, of_both in zip(starts, failures.tolist(), strict=True):
        canary = make(0.5, "s", (50, 100, 150, 200))
        for number, (stable, new) in enumerate(of_both):
            arm = canary.choose(f"user {start + number}")
            if canary.record(arm, new if arm == "canary" else stable) != "running":
                break
        states.append(canary.state)
    return states


def find_each_drift(find_drift, reference, current):
    """Return the names that `find_drift` returns for each pair of tables, which the columns hold row by row."""
    count = len(next(iter(reference.values())))
    tables = [[{name: rows[k] for name, rows in both.items()} for both in (reference, current)] for k in range(count)]
    return [list(find_drift(*pair)) for pair in tables]


# 15.1: complete files


@task("15.1")
def test_a_file_is_written(student, rng):
    """The file, new or not, holds exactly these bytes, and no other file is left; a path may be a string."""
    folder = student.folder()
    path = folder / "model.bin"
    for size in (0, 1, 70_000):
        for given in (path, path.as_posix()):
            data = rng.bytes(size)
            student.mlops.write_whole(given, data)
            names = [file.name for file in folder.iterdir()]
            hint = "the temporary file replaces the target, so only the target is left"
            expect.equal(names, ["model.bin"], call="the files in the folder after write_whole", hint=hint)
            call, hint = (
                f"the file after write_whole(path, {size} bytes)",
                "write all of `data` into the temporary file",
            )
            expect_same_bytes(path.read_bytes(), data, call=call, hint=hint)
    with expect.raises(FileNotFoundError, call="write_whole to a folder that does not exist"):
        student.mlops.write_whole(folder / "none" / "model.bin", b"data")


def expect_same_bytes(got, wanted, *, call, hint=None):
    """Require the same bytes; a failure shows only the first of them."""
    shown = got if type(got) is not bytes or len(got) < 50 else f"{len(got)} bytes that begin with {got[:20]!r}"
    expected = f"{len(wanted)} bytes that begin with {wanted[:20]!r}"
    expect.that(type(got) is bytes and got == wanted, call=call, got=shown, expected=expected, hint=hint)


def check_steps(seen, call):
    """Require that something was renamed, and that it had been synced before that."""
    steps = [name for name, _, _ in seen]
    fine = [synced is True for name, synced, _ in seen if name in ("rename", "replace", "link")]
    expected, hint = "a sync of the whole file, and then its renaming", SYNC_HINT
    if not fine:
        hint = "nothing was renamed: bytes go into a temporary file, which then replaces the target (write_whole)"
    elif "sync" not in "".join(steps):
        hint = f"os.fsync is missing. {SYNC_HINT}"
    elif "sync" in steps[0]:
        hint = f"when the file was synced, not all its bytes were in it: flush before os.fsync. {SYNC_HINT}"
    expect.that(bool(fine) and all(fine), call=f"the steps of {call}", got=steps, expected=expected, hint=hint)


@task("15.1")
def test_bytes_are_on_the_disk_before_they_get_the_name(student, rng):
    """A new file is written and synced while the old one is intact, and then replaces it in one step."""
    folder, watch = student.folder(), student.define(watch_files)
    path = folder / "model.bin"
    for size in (100, 50_000):
        path.write_bytes(b"old")
        new, what = rng.bytes(size), f"write_whole of {size} bytes over an old one"
        seen = watch(student.mlops.write_whole, (path, new), folder)
        check_steps(seen, what)
        for name, _, files in seen[:-1]:
            old = files.get("model.bin", b"")
            expect_same_bytes(old, b"old", call=f"the old file at the {name} of {what}", hint=SYNC_HINT)
            beside = [data for other, data in files.items() if other != "model.bin"]
            expect.equal(len(beside), 1, call=f"the other files at the {name} of {what}", hint=SYNC_HINT)
            expect_same_bytes(
                beside[0], new, call=f"the temporary file at the {name} of {what}", hint="flush before fsync"
            )


@task("15.1")
def test_what_fails_leaves_the_old_file(student):
    """If the disk fails at any step, the error is raised, the old file is unchanged, and no other file is left."""
    folder, fail = student.folder(), student.define(fail_in_os)
    path = folder / "model.bin"
    path.write_bytes(b"old")
    for names in (("fsync", "fdatasync"), ("rename", "replace", "link")):
        call = f"write_whole where os.{names[0]} raises"
        raised = fail(names, student.mlops.write_whole, (path, b"new"))
        expect.equal(raised, "the disk is full", call=f"what {call} raises", hint=SYNC_HINT)
        expect.equal(path.read_bytes(), b"old", call=f"the file after {call}", hint=SYNC_HINT)
        left = [file.name for file in folder.iterdir()]
        expect.equal(left, ["model.bin"], call=f"the files after {call}", hint="finally: unlink the temporary file")
    with expect.raises(TypeError, call="write_whole(path, 3)"):
        student.mlops.write_whole(path, 3)
    expect.equal(path.read_bytes(), b"old", call="the file after write_whole(path, 3)")
    expect.equal([file.name for file in folder.iterdir()], ["model.bin"], call="the files after write_whole(path, 3)")


# 15.2: a registry


@task("15.2")
def test_objects_have_the_names_of_their_bytes(student, rng):
    """The SHA-256 that put returns is the name of a file in "objects", and get returns the bytes."""
    folder = student.folder()
    registry = student.mlops.Registry(folder)
    contents = [b"", b"a", rng.bytes(3000), rng.bytes(3000)]
    for data in contents:
        hint = "write if the file is missing or its bytes differ, checked in this order; return the digest"
        with expect.explain_errors(f"Registry.put({len(data)} bytes)", hint):
            name = registry.put(data)
        expect.equal(name, compute_sha256(data), call=f"Registry.put({len(data)} bytes)", hint="return digest(data)")
        path, hint = folder / "objects" / name, "a file named by the digest must be written unless there is one already"
        stored = path.read_bytes() if path.exists() else "no file"
        expect_same_bytes(stored, data, call="the file in objects after put", hint=hint)
    for one in (registry, student.mlops.Registry(folder.as_posix())):
        for data in contents:
            call = f"Registry.get(the digest of {len(data)} stored bytes)"
            with expect.explain_errors(call, explain_get_error):
                got = one.get(compute_sha256(data))
            expect_same_bytes(got, data, call=call, hint="return the bytes of the file that the digest names")


def explain_get_error(got):
    """Return a hint for an exception of `get` although the object is stored and undamaged."""
    if got.startswith("ValueError"):
        return "an object is damaged only if the digest of its bytes differs from its name"
    return "KeyError is only for names that are not 64 letters and digits, or that name no file"


@task("15.2")
def test_the_same_bytes_are_stored_once(student, rng):
    """Putting bytes that are already stored changes no file."""
    folder, data = student.folder(), rng.bytes(500)
    registry = student.mlops.Registry(folder)
    path = folder / "objects" / registry.put(data)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    expect.equal(registry.put(data), compute_sha256(data), call="put of the same bytes again")
    after = path.stat().st_ino, path.stat().st_mtime_ns
    call = "the file's inode and time after a second put of the same bytes"
    expect.equal(after, before, call=call, hint="write only if the file is missing or its bytes differ")
    expect.equal(len(list((folder / "objects").iterdir())), 1, call="the number of files in objects")


@task("15.2")
def test_a_flipped_byte_is_named(student, rng):
    """Changed, cut or extended bytes raise a ValueError that states the digest; storing the original repairs them."""
    folder, other, many = student.folder(), rng.bytes(200), [rng.bytes(200) for _ in range(20)]
    data = min(many, key=lambda one: abs(int(compute_sha256(one)[0], 16) - 8))  # other digests are smaller or larger
    registry = student.mlops.Registry(folder)
    name, safe = registry.put(data), registry.put(other)
    path = folder / "objects" / name
    changed = [data[:-1], data + b"\0", b"", other, *(flip_bit(data, place, rng) for place in range(0, 200, 10))]
    for content in changed:
        path.write_bytes(content)
        with expect.raises(
            ValueError,
            call="get of a damaged object",
            mentions=(name,),
            hint="raise it whenever the digest of what was read is not the name, be it smaller or larger",
        ):
            registry.get(name)
        expect_same_bytes(path.read_bytes(), content, call="the damaged file after get", hint="leave it as it is")
        expect_same_bytes(registry.get(safe), other, call="get of another object")
        call, hint = "get after put has repaired it", "put: a file of that name may be damaged: compare its bytes"
        with expect.explain_errors(call, hint):
            registry.put(data)
            got = registry.get(name)
        expect_same_bytes(got, data, call=call, hint=hint)


def flip_bit(data, place, rng):
    """Change one bit, not the highest, in the byte at `place`, so that ASCII stays ASCII."""
    return data[:place] + (data[place] ^ 1 << int(rng.integers(7))).to_bytes(1, "big") + data[place + 1 :]


@task("15.2")
def test_what_is_not_stored_is_a_key_error(student):
    """An unknown digest, or a name that is not a digest and leads out of the folder, raises a KeyError."""
    folder = student.folder()
    registry = student.mlops.Registry(folder)
    name = registry.put(b"model")
    (folder / "secret").write_bytes(b"secret")
    (folder / "objects" / ("." * 64)).write_bytes(b"dots")
    (folder / "objects" / "readme").write_bytes(b"no object")
    wrong_names = [
        compute_sha256(b"other"),
        "",
        ".",
        "..",
        "readme",
        "../secret",
        f"../objects/{name}",
        name[:63],
        name + "0",
    ]
    for wrong in (*wrong_names, "." * 64, "/etc/hosts", "0" * 300, "\0" * 64):
        hint = "before you look for a file, the name must have exactly 64 characters, all of them letters or digits"
        if wrong == wrong_names[0]:
            hint = "if there is no file of that name, raise a KeyError before you read"
        with expect.raises(KeyError, call=f"Registry.get({wrong[:70]!r})", hint=hint):
            registry.get(wrong)


@task("15.2")
def test_a_crash_while_storing_harms_nothing(student, rng):
    """If put is interrupted, earlier objects remain; the new one is complete or missing, and can be put again."""
    folder, old, new = student.folder(), rng.bytes(100), rng.bytes(100)
    registry = student.mlops.Registry(folder)
    registry.put(old)
    seen = student.define(watch_files)(registry.put, (new,), folder)
    check_steps(seen, "Registry.put")
    for step, _, files in seen:
        again = student.mlops.Registry(make_crashed_folder(student, files))
        call = f"a registry after a crash at the {step} of put"
        expect_same_bytes(again.get(compute_sha256(old)), old, call=f"an earlier object in {call}")
        if step != "end":
            with expect.raises(KeyError, call=f"the new object in {call}", hint="write_whole"):
                again.get(compute_sha256(new))
        again.put(new)
        expect_same_bytes(again.get(compute_sha256(new)), new, call=f"the new object, put again in {call}")


def make_crashed_folder(student, files):
    """Make a new folder with the files that a crash left."""
    folder = student.folder()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


# 15.3: promote and roll back


@task("15.3")
def test_promoting_and_rolling_back(student, rng):
    """Promoting adds to the history, unless the object is already in service; rolling back removes the last entry."""
    folder = student.folder()
    registry = student.mlops.Registry(folder)
    names, history = [registry.put(rng.bytes(20)) for _ in range(3)], []
    for step in range(60):
        if len(history) > 1 and rng.random() < 0.45:
            before, what = len(history), "roll_back()"
            history.pop()
            hint = "take the history without its last entry, history[:-1]; its own last entry, [-1], is then in service"
            with expect.explain_errors(f"roll_back(), step {step}", f"there are {before} entries: {hint}"):
                got = registry.roll_back()
            expect.equal(got, history[-1], call=f"roll_back(), step {step}", hint=hint)
            hint = f"write the history without its last entry: {before - 1} of {before} stay"
        else:
            name, before = names[int(rng.integers(3))], history[-1:]
            what = "promote(the model in service)" if before == [name] else "promote(another model)"
            hint = "promoting the model in service, the last entry, changes nothing"
            hint = hint if before == [name] else "the digest must be added at the end, and the list written to the file"
            with expect.explain_errors(f"{what}, step {step}", hint):
                registry.promote(name)
            history += [name] if before != [name] else []
        one = registry if step % 2 else student.mlops.Registry(folder)
        expect.equal(one.history(), history, call=f"history() after step {step}, {what}", hint=hint)


@task("15.3")
def test_promoting_twice_does_not_hide_the_way_back(student):
    """After a second promotion of the same object, rolling back still leads to the previous one."""
    registry = student.mlops.Registry(student.folder())
    first, second = registry.put(b"first"), registry.put(b"second")
    for name in (first, second, second):
        registry.promote(name)
    call, hint = "roll_back() after promoting first, second, second", "promoting the model in service adds nothing"
    expect.equal(registry.roll_back(), first, call=call, hint=hint)


@task("15.3")
def test_without_an_earlier_one_nothing_rolls_back(student):
    """With no model or only one, roll_back raises a RuntimeError, and the model stays in service."""
    registry = student.mlops.Registry(student.folder())
    hint = "without the last entry, the history must still hold a model to go back to"
    with expect.raises(RuntimeError, call="roll_back() of an empty registry", hint=hint):
        registry.roll_back()
    only = registry.put(b"only")
    registry.promote(only)
    with expect.raises(RuntimeError, call="roll_back() after one promotion", hint=hint):
        registry.roll_back()
    expect.equal(registry.history(), [only], call="history() after the RuntimeError")


@task("15.3")
def test_only_what_is_whole_serves(student):
    """Promoting or rolling back to an unknown or damaged object fails and changes nothing."""
    folder = student.folder()
    registry = student.mlops.Registry(folder)
    oldest, first, second, third = (registry.put(data) for data in (b"oldest", b"first", b"second", b"third"))
    for one in (oldest, first, second):
        registry.promote(one)
    (folder / "objects" / first).write_bytes(b"fir5t")
    (folder / "objects" / third).write_bytes(b"")
    called, back = "call self.get(name) first", "call self.get of the entry that would be the last, before you write"
    for kind, call, function, hint in (
        (KeyError, "promote of an unknown digest", lambda: registry.promote(compute_sha256(b"unknown")), called),
        (ValueError, "promote of a damaged object", lambda: registry.promote(third), called),
        (ValueError, "roll_back() to a damaged object", registry.roll_back, back),
    ):
        with expect.raises(kind, call=call, hint=hint):
            function()
        expect.equal(registry.history(), [oldest, first, second], call=f"history() after {call}")
    (folder / "objects" / first).unlink()
    with expect.raises(KeyError, call="roll_back() to an object that is gone", hint=back):
        registry.roll_back()
    call = "history() after roll_back() to an object that is gone"
    expect.equal(registry.history(), [oldest, first, second], call=call)


@task("15.3")
def test_a_crash_leaves_the_earlier_state(student):
    """Whenever promote or roll_back is interrupted, a registry opened afterwards has the complete old history."""
    folder = student.folder()
    registry = student.mlops.Registry(folder)
    first, second = registry.put(b"first"), registry.put(b"second")
    registry.promote(first)
    watch = student.define(watch_files)
    for what, arguments, before, after in (
        ("promote", (second,), [first], [first, second]),
        ("roll_back", (), [first, second], [first]),
    ):
        seen = watch(getattr(registry, what), arguments, folder)
        check_steps(seen, what)
        for step, _, files in seen:
            got = student.mlops.Registry(make_crashed_folder(student, files)).history()
            call = f"history() after {what}" if step == "end" else f"history() after a crash at the {step} of {what}"
            expect.equal(got, after if step == "end" else before, call=call, hint="write_whole")


# 15.4: a log


def draw_records(rng, count):
    """Draw records that contain everything that JSON can hold, including a line break in a string."""
    return [
        {"step": step, "loss": float(rng.normal()), "note": "ö\n", "more": [None, True, {"a": []}]}
        for step in range(count)
    ]


def write_lines(records):
    """Return the bytes of a log with these records."""
    texts = [json.dumps(record).encode() for record in records]
    return b"".join(b"\n%s %s\n" % (hashlib.sha256(text).hexdigest()[:8].encode(), text) for text in texts)


def read_lines(data):
    """Return the records and damaged lines of a log by the lesson's rule, in the grader's process."""
    records, damaged = [], []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if len(line) > 8 and line[8:9] == b" " and compute_sha256(line[9:])[:8].encode() == line[:8]:
            records.append(json.loads(line[9:]))
        elif line:
            damaged.append(number)
    return records, damaged


LINE_HINT = "a line is a record if its first 9 bytes are the 8 digits of the digest of the rest, and a space"
NUMBER_HINT = "report the numbers of lines that are neither empty nor a record; the log's first line is number 1"


def suggest_line_numbers(got, right):
    """Return a hint if the records are right, but not the numbers of damaged lines."""
    return NUMBER_HINT if type(got) is tuple and got[:1] == right[:1] else None


def explain_reading_error(got):
    """Return a hint for an exception while a log is read."""
    if "JSON" in got or "Unicode" in got:
        return (
            f"only what follows these 9 bytes of a record goes to json.loads, not an empty or damaged line: {LINE_HINT}"
        )
    return f"line i, counted from 1, is lines[i - 1]. {NUMBER_HINT[0].upper()}{NUMBER_HINT[1:]}"


@task("15.4")
def test_records_come_back(student, rng):
    """Appended records are read back in order; each line has its digits and a line break on both sides."""
    path = student.folder() / "run.log"
    expect.equal(student.mlops.read_records(path), ([], []), call="read_records of no file")
    records = draw_records(rng, 5)
    for number, record in enumerate(records, start=1):
        student.mlops.append_record(path.as_posix() if number % 2 else path, record)
        call, right, data = f"the file after {number} records", (records[:number], []), path.read_bytes()
        expect.that(len(data) > 0, call=call, got="empty", expected="lines", hint="file.write the line")
        hint = "a line has 8 digits of the digest of its JSON's bytes, a space, and these bytes"
        expect.equal(read_lines(data), right, call=f"the lines of {call}", hint=hint)
        with expect.explain_errors(f"read_records of {call}", explain_reading_error):
            got = student.mlops.read_records(path)
        expect.equal(got, right, call=f"read_records of {call}", hint=suggest_line_numbers(got, right) or LINE_HINT)
    data = path.read_bytes()
    call, hint = "the first and the last byte of the log", "write a line break before the line, and one after it"
    expect.equal(data[:1] + data[-1:], b"\n\n", call=call, hint=hint)


@task("15.4")
def test_a_log_survives_a_cut_at_every_byte(student, rng):
    """A log cut off after any byte yields all complete records; the next record gets its own line and is also read."""
    mlops, path, last = student.mlops, student.folder() / "run.log", {"step": 99}
    data = write_lines(draw_records(rng, 2))
    cuts = [data[:end] for end in range(len(data) + 1)]
    with expect.explain_errors(
        f"read_records of a log of {len(data)} bytes, cut off after each", explain_reading_error
    ):
        read = student.define(read_each_content)(mlops.read_records, path, cuts)
    longer = student.define(append_to_each_content)(mlops.append_record, path, cuts, last)
    again = student.define(read_each_content)(mlops.read_records, path, [require_bytes(one) for one in longer])
    for cut, got, more in zip(cuts, read, again, strict=True):
        call = f"read_records of a log of {len(data)} bytes, cut off after {len(cut)}"
        right = read_lines(cut)
        hint = "check each line separately; it is complete if its digits match, with or without a line break"
        expect.equal(got, right, call=call, hint=suggest_line_numbers(got, right) or hint)
        whole, damaged = read_lines(cut)
        hint = "the new record must not be joined to half a line"
        expect.equal(more, ([*whole, last], damaged), call=f"{call}, and another record", hint=hint)


def require_bytes(value):
    """Return a value that must be bytes."""
    expect.that(type(value) is bytes, call="a file", got=value, expected="bytes")
    return value


@task("15.4")
def test_a_damaged_line_is_named_and_costs_itself_alone(student, rng):
    """If any one byte changes, the other lines' records are read, and the damaged line's number is reported."""
    data = write_lines(draw_records(rng, 3))
    bad = {f"byte {place} changed": flip_bit(data, place, rng) for place in range(0, len(data), 2)}
    for line in (b"{}", b"00000000 {}", b"\xff\xfe", b"[" * 5000, b" ", b"44136fa3x{}", b"44136fa3"):
        bad[f"a line {line[:20]!r} in it"] = data + line + b"\n" + data
    path = student.folder() / "run.log"
    with expect.explain_errors("read_records of a log with a changed byte or a bad line", explain_reading_error):
        got = student.define(read_each_content)(student.mlops.read_records, path, list(bad.values()))
    for (what, content), one in zip(bad.items(), got, strict=True):
        right = read_lines(content)
        hint = suggest_line_numbers(one, right) or LINE_HINT
        expect.equal(one, right, call=f"read_records of a log with {what}", hint=hint)


@task("15.4")
def test_a_record_is_on_the_disk_on_return(student):
    """append_record syncs the file when the complete line is in it, and leaves earlier lines as they are."""
    folder = student.folder()
    path = folder / "run.log"
    student.mlops.append_record(path, {"step": 1})
    before = path.read_bytes()
    seen = student.define(watch_files)(student.mlops.append_record, (path, {"step": 2}), folder)
    synced = [data for name, _, files in seen if "sync" in name for data in files.values()]
    after = path.read_bytes()
    call, hint = "what is in the file when append_record syncs it", "write, flush, os.fsync(file.fileno())"
    lengths = [len(data) for data in synced]
    hint = "flush before os.fsync, so that the line is in the file" if synced else f"os.fsync is missing: {hint}"
    expect.that(after in synced, call=call, got=f"{lengths} bytes", expected=f"all {len(after)} bytes", hint=hint)
    expect_same_bytes(after[: len(before)], before, call="the earlier lines after append_record")


# 15.5: fingerprints


@task("15.5")
def test_each_value_has_its_path(student):
    """Dicts, lists and tuples are traversed to any depth; every single value or empty container has a path."""
    value = {"config": {"lr": 0.1, "sizes": [3, (4, "x")]}, "data": np.arange(3), "none": None, "empty": [], "also": {}}
    with expect.explain_errors(f"fingerprint({value})", explain_fingerprint_error):
        got = student.mlops.fingerprint(value)
    paths = ["also", "config.lr", "config.sizes.0", "config.sizes.1.0", "config.sizes.1.1", "data", "empty", "none"]
    hint = "pass on each value of a container that is not empty, with path.key, or with the key alone if path is empty"
    expect.equal(sorted(got), paths, call=f"the paths of fingerprint({value})", hint=hint)
    texts = all(type(one) is str and one for one in got.values())
    expect.that(texts, call=f"the digests of fingerprint({value})", got=got, expected="texts that are not empty")
    expect.equal(
        student.mlops.fingerprint([7]), {"0": student.mlops.fingerprint({"a": 7})["a"]}, call="fingerprint([7])"
    )


def explain_fingerprint_error(got):
    """Return a hint for an exception although every value has a fingerprint."""
    if "no fingerprint" in got:
        return "arrays without objects have one, and so have None, bool, int, float, str, bytes and empty containers"
    return "only dicts, lists and tuples that are not empty are traversed; everything else is a single value"


@task("15.5")
def test_the_same_is_the_same(student, rng):
    """Neither the order of keys nor the memory layout of an array changes anything, and NaN equals itself."""
    fingerprint = student.mlops.fingerprint
    array = rng.normal(size=(6, 4)).astype("float32")
    first, *others = student.define(fingerprint_layouts)(fingerprint, array)
    for other in others:
        expect.equal(other, first, call="fingerprint of an array in another memory layout", hint="tobytes()")
    a, b = fingerprint({"x": 1, "y": [array, 2.5]}), fingerprint({"y": [array.copy(), 2.5], "x": 1})
    call, hint = "the differences of the same values in another order", "compare digests by their values, with `!=`"
    expect.equal(student.mlops.find_differences(a, b), [], call=call, hint=hint if a == b else None)
    nan, again = (fingerprint({"a": float("nan"), "b": np.array([np.nan])}) for _ in range(2))
    expect.equal(again, nan, call="fingerprint of NaN, twice")


@task("15.5")
def test_whatever_differs_is_different(student, rng):
    """A change in value, type, dtype, shape, one element among many, or an element's last bit changes the digest."""
    many = rng.normal(size=10_000)
    one_of_many, last_bit = many.copy(), many.copy()
    one_of_many[5_000] += 1.0
    last_bit[7_777] = np.nextafter(last_bit[7_777], np.inf)
    for group in (
        [1, 1.0, True, "1", b"1", "True", np.array(1), np.array(1.0), [], {}, None, "None", "", b"", np.zeros(0)],
        [0.1, math.nextafter(0.1, 1), -0.1],
        [np.arange(6), np.arange(6).astype("int32"), np.arange(6.0), np.arange(6).reshape(2, 3)],
        [np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2), np.arange(6).reshape(2, 3)[::-1]],
        [many, one_of_many, last_bit],
        ["a", "b", "a ", "a\n"],
        [np.zeros((0, 3)), np.zeros((3, 0))],
        [np.ones(1), np.ones((1, 1)), 1.0],
        [np.zeros(2, "int32"), np.zeros(2, "uint32"), np.zeros(2, "float32"), np.zeros(1), np.zeros(8, bool)],
    ):
        prints = [json.dumps(student.mlops.fingerprint({"x": value}), sort_keys=True) for value in group]
        for (i, a), (j, b) in itertools.combinations(enumerate(prints), 2):
            call = f"fingerprint of {expect.describe_value(group[i])} and of {expect.describe_value(group[j])}"
            hint = "hash type and repr; for arrays dtype, shape and tobytes(), since their repr leaves numbers out"
            expect.that(a != b, call=call, got="the same", expected="two digests", hint=hint)


@task("15.5")
def test_differences_are_named(student, rng):
    """find_differences returns exactly the paths that differ or that only one side has, sorted."""
    for _ in range(20):
        first = {f"p{k}": str(rng.integers(3)) for k in rng.permutation(12)[: int(rng.integers(13))]}
        second = {f"p{k}": str(rng.integers(3)) for k in rng.permutation(12)[: int(rng.integers(13))]}
        wanted = sorted({name for name, _ in set(first.items()) ^ set(second.items())})
        got = student.mlops.find_differences(first, second)
        hint = "look at the paths of both; a path differs if its two digests do, or if only one side has it"
        expect.equal(got, wanted, call=f"find_differences({first}, {second})", hint=hint)
    runs = [{"seed": 3, "data": np.arange(50), "config": {"lr": 0.1}} for _ in range(2)]
    runs[1]["config"] = {"lr": 0.01, "decay": None}
    runs[1]["data"][33] = 7
    got = student.mlops.find_differences(*map(student.mlops.fingerprint, runs))
    expect.equal(got, ["config.decay", "config.lr", "data"], call="the differences of two runs")


@task("15.5")
def test_what_has_no_fingerprint_is_named(student):
    """An object's repr contains its address, which differs in each run: it raises a TypeError that states the path."""
    for value in (student.rng(1), student.hold_result(student.mlops.np.empty, 2, "object")):
        call = 'fingerprint({"config": {"rng": [0, object]}})'
        hint = "everything but the types that the docstring lists, and an array with hasobject too, raises a TypeError"
        with expect.raises(TypeError, mentions=("config.rng.1",), call=call, hint=hint):
            student.mlops.fingerprint({"config": {"rng": [0, value]}})


# 15.6: PSI


def compute_psi_by_counting(reference, current, bins):
    """Compute the index by counting values one after another."""
    edges = sorted(set(np.quantile(reference, [k / bins for k in range(1, bins)]).tolist()))
    parts = []
    for sample in (reference, current):
        counts = [0] * (len(edges) + 1)
        for value in sample:
            counts[bisect.bisect_right(edges, value)] += 1
        parts.append([(count + 0.5) / (len(sample) + len(counts) / 2) for count in counts])
    return sum((q - p) * math.log(q / p) for p, q in zip(*parts, strict=True))


PSI_HINT = (
    "the edges are quantiles at 1/bins, 2/bins, … below 1, which leave len(edges) + 1 bins for both samples, even if "
    "the last ones are empty (minlength). With ½ more in each, p and q are positive and add up to 1"
)


def compute_psi_of_counts(reference, current):
    """Compute the index of two lists of counts."""
    p, q = (np.array(counts) / np.sum(counts) for counts in (reference, current))
    return ((q - p) * np.log(q / p)).sum()


@task("15.6")
def test_psi_by_hand(student):
    """The index is correct for the lesson's 5 and 5 against 8 and 2 values, and 0 for a sample and itself."""
    reference = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    current = np.array([1.0, 1, 2, 2, 3, 3, 4, 4, 9, 9])
    wanted = 3 / 11 * math.log(8.5 / 5.5) - 3 / 11 * math.log(2.5 / 5.5)
    hint = "with an edge at 5.5, p is 5.5/11 in both bins, q is 8.5/11 and 2.5/11; the index is Σ (q - p) · ln(q / p)"
    call = "psi of 5, 5 against 8, 2 values in two bins"
    with expect.explain_errors(call, PSI_HINT):
        got = student.mlops.psi(reference, current, 2)
    traps = {
        f"{advice}: {hint}": compute_psi_of_counts(*counts)
        for advice, counts in {
            "this has a third bin, but 1/bins is the only edge, and edges leave len(edges) + 1 bins": (
                (5.5, 5.5, 0.5),
                (8.5, 2.5, 0.5),
            ),
            "add ½ to each count": ((5, 5), (8, 2)),
            "add ½ to each count, and not 1½": ((6.5, 6.5), (9.5, 3.5)),
        }.items()
    }
    expect.array(got, wanted, rtol=1e-9, call=call, hint=hint, traps=traps)
    hint = "if q = p in every bin, each term is 0"
    expect.array(student.mlops.psi(reference, reference), 0.0, atol=1e-12, call="psi of a sample and itself", hint=hint)


@task("15.6")
def test_psi_by_its_formula(student, rng):
    """The index agrees with the formula for ties and unequal sizes; by default there are 10 bins."""
    psi = student.mlops.psi
    hint = "the edges are the reference's distinct quantiles; a value on an edge is in the bin above it: side='right'"
    for reference, current in (
        (rng.normal(size=400), rng.normal(0.3, 1.2, size=300)),
        (rng.integers(0, 6, 200).astype(float), rng.integers(0, 9, 90).astype(float)),
        (rng.exponential(size=37), rng.exponential(size=1)),
        (np.ones(20), np.array([1.0, 2.0, 0.0])),
    ):
        sizes = f"{len(reference)} and {len(current)} values"
        wanted = compute_psi_by_counting(reference, current, 10)
        with expect.explain_errors(f"psi of {sizes}", PSI_HINT):
            got = psi(reference, current)
        expect.array(got, wanted, rtol=1e-9, call=f"psi of {sizes}", hint=hint)
        for bins in (2, 5, 16):
            wanted = compute_psi_by_counting(reference, current, bins)
            with expect.explain_errors(f"psi of {sizes}, bins={bins}", PSI_HINT):
                got = psi(reference, current, bins)
            expect.array(got, wanted, rtol=1e-9, call=f"psi of {sizes}, bins={bins}", hint=hint)


@task("15.6")
def test_empty_bins_and_values_outside_are_finite(student, rng):
    """The index stays finite if a bin is empty in one sample, and values outside the reference's range count."""
    reference = rng.uniform(0, 1, 500)
    for current in (np.full(100, 50.0), np.full(100, -50.0), np.array([0.5])):
        wanted = compute_psi_by_counting(reference, current, 10)
        call = f"psi of a uniform sample and {len(current)} times {current[0]}"
        with expect.explain_errors(call, PSI_HINT):
            got = student.mlops.psi(reference, current)
        expect.array(got, wanted, rtol=1e-9, call=call, hint="add ½ in each bin; the outer bins have no end")


# 15.7: Kolmogorov and Smirnov


def compute_kolmogorov_tail(scaled):
    """Return P(K > scaled) by another series, which converges where the task's does not."""
    if scaled < 0.3:
        return 1.0
    total = sum(math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * scaled**2)) for k in range(1, 200))
    return 1 - math.sqrt(2 * math.pi) / scaled * total


def find_largest_distance(first, second):
    """Return D by comparing both fractions at each value separately."""
    return max(abs(float((first <= x).mean()) - float((second <= x).mean())) for x in (*first, *second))


SHARES_HINT = "compare the shares of values ≤ x, at each value x of both samples (side='right'); D is the largest gap"


def explain_ks(p):
    """Return a hint for a wrong p."""
    return "p is 1 only if λ < 0.3, and here it is larger" if np.ndim(p) == 0 and p == 1 else KOLMOGOROV


@task("15.7")
def test_ks_by_hand(student):
    """D is correct for two overlapping pairs of samples, and p for two that do not overlap."""
    for first, second, wanted, hint in (
        ([1.0, 2, 3, 4], [3.0, 4], 0.5, "2 of 4 values are ≤ 2 in the first sample, and 0 of 2 in the second"),
        ([3.0, 4], [1.0, 2, 2, 3], 0.75, "0 of 2 values are ≤ 2 in the first sample, and 3 of 4 in the second"),
    ):
        call = f"ks_test({first}, {second})"
        with expect.explain_errors(call, f"{SHARES_HINT}. {KOLMOGOROV}"):
            got = student.mlops.ks_test(np.array(first), np.array(second))
        distance, _ = got
        expect.array(distance, wanted, rtol=1e-9, call=f"D of {call}", hint=f"{hint}: {SHARES_HINT}")
    _, p = student.mlops.ks_test(np.arange(4.0), np.arange(4.0, 16.0))
    wanted = 2 * (math.exp(-6) - math.exp(-24) + math.exp(-54))
    hint = (
        "D = 1, n = 4, m = 12, so that λ = √(4 · 12 / 16) = √3, and p = 2 · (exp(-2 · 3) - exp(-8 · 3) + exp(-18 · 3))"
    )
    call = "p of ks_test of 4 values and 12 larger ones"
    expect.array(p, wanted, rtol=1e-6, call=call, hint=explain_ks(p) if p == 1 else hint)


@task("15.7")
def test_ks_is_scipys(student):
    """D and p of five pairs of samples agree with SciPy (reference.json), even with ties and unequal sizes."""
    for case in REFERENCE["ks"]:
        call = f"ks_test of {len(case['samples'][0])} and {len(case['samples'][1])} values"
        with expect.explain_errors(call, f"{SHARES_HINT}. {KOLMOGOROV}"):
            got = student.mlops.ks_test(*map(np.array, case["samples"]))
        distance, p = got
        expect.array(distance, case["D"], rtol=1e-9, call=f"D of {call}", hint=SHARES_HINT)
        expect.array(p, case["p"], rtol=1e-5, call=f"p of {call}", hint=explain_ks(p))


@task("15.7")
def test_ks_by_its_definition(student, rng):
    """D is the largest difference between the fractions at any value, and p follows from it."""
    for n, m, shift, digits in (
        (30, 50, 0.2, 1),
        (200, 150, 0.0, 0),
        (1, 40, 0.0, 5),
        (300, 250, 2.0, 5),
        (80, 3, 1.0, 0),
    ):
        first, second = rng.normal(size=n).round(digits), rng.normal(shift, size=m).round(digits)
        distance, p = student.mlops.ks_test(first, second)
        call = f"ks_test of {n} and {m} values, rounded to {digits} digits"
        wanted = find_largest_distance(first, second)
        expect.that(type(distance) is float and type(p) is float, call=call, got=(distance, p), expected="two floats")
        expect.array(distance, wanted, rtol=1e-9, call=f"D of {call}", hint="equal values count together")
        tail = compute_kolmogorov_tail(wanted * math.sqrt(n * m / (n + m)))
        expect.array(p, tail, rtol=1e-4, atol=1e-8, call=f"p of {call}", hint=KOLMOGOROV)


@task("15.7")
def test_p_at_its_ends(student):
    """Equal samples have p = 1, and samples far apart have a tiny p, in either order."""
    a = np.arange(100.0)
    for first, second, wanted in ((a, a, (0.0, 1.0)), (a, a + 1, (0.01, 1.0)), (a, np.repeat(a, 2), (0.0, 1.0))):
        call, hint = f"ks_test of 0 to 99 and {len(second)} values from {second[0]:.0f}", "below λ = 0.3, p is 1"
        expect.array(student.mlops.ks_test(first, second), wanted, rtol=1e-9, call=call, hint=hint)
    for first, second in ((a, a + 1000), (a + 1000, a)):
        distance, p = student.mlops.ks_test(first, second)
        expect.array(distance, 1.0, rtol=1e-9, call="D of samples that do not overlap")
        call = "p of two samples of 100 that do not overlap: 2 exp(-2 · 50)"
        expect.array(p, 2 * math.exp(-100), rtol=1e-6, atol=0, call=call, hint=KOLMOGOROV)


# 15.8: χ²


@task("15.8")
def test_the_tail_by_hand(student, rng):
    """The tail is exp(-x/2) for 2 degrees of freedom, (1 + x/2) times that for 4, and a squared normal's for 1."""
    for x in (0.0, *map(float, rng.uniform(0, 40, 6))):
        y = x / 2
        first, even = math.erfc(math.sqrt(y)), math.exp(-y)
        for df, wanted, hint in (
            (1, first, "df = 1 is erfc(√y) alone, with y = x/2"),
            (2, even, "df = 2 is exp(-y) alone, with y = x/2"),
            (4, (1 + y) * even, "df = 4 is exp(-y) and one term, y · exp(-y) / Γ(2); it is 0 for y = 0"),
            (
                3,
                first + math.sqrt(y) * even / math.gamma(1.5),
                "df = 3 is erfc(√y) and one term, y^½ · exp(-y) / Γ(3/2)",
            ),
            (
                6,
                (1 + y + y * y / 2) * even,
                "df = 6 is df = 4 (exp(-y) and y · exp(-y) / Γ(2)) and y² · exp(-y) / Γ(3)",
            ),
        ):
            with expect.explain_errors(f"chi2_tail({x}, {df})", f"{hint}; for y = 0 there is no logarithm"):
                got = student.mlops.chi2_tail(x, df)
            expect.array(got, wanted, rtol=1e-9, atol=0, call=f"chi2_tail({x}, {df})", hint=hint)


@task("15.8")
def test_the_tail_is_scipys(student):
    """P(X ≥ x) agrees with SciPy (reference.json) for 1 to 99 degrees of freedom and x from 0 to 300."""
    for x, df, wanted in REFERENCE["chi2_tail"]:
        call = f"chi2_tail({x}, {df})"
        hint = (
            f"for d = {2 - df % 2} and every second d up to {df - 2}, add y^(d/2) · exp(-y) / Γ(d/2 + 1), with y = x/2"
        )
        with expect.explain_errors(call, f"{hint}; compute its logarithm, with math.lgamma"):
            got = student.mlops.chi2_tail(x, df)
        expect.array(got, wanted, rtol=1e-7, atol=1e-300, call=call, hint=hint)


@task("15.8")
def test_chi2_is_scipys(student):
    """χ² and p of five pairs of samples agree with SciPy (reference.json): integers, strings, a new category."""
    for case in REFERENCE["chi2"]:
        names = sorted({*case["samples"][0], *case["samples"][1]})
        call = f"samples with the categories {names}"
        with expect.explain_errors(f"chi2_test of {call}", CHI2_HINT):
            got = student.define(call_with_arrays)(student.mlops.chi2_test, *case["samples"])
        statistic, p = got
        expect.array(statistic, case["chi2"], rtol=1e-9, call=f"χ² of {call}", hint=CHI2_HINT)
        expect.array(p, case["p"], rtol=1e-7, call=f"p of {call}", hint=explain_chi2(p))


def explain_chi2(p):
    """Return a hint for a wrong p of a χ² that is right."""
    if np.ndim(p) == 0 and p == 1:
        return "p is 1.0 only if there is just one category"
    return "p is chi2_tail(χ², df), where df is the number of categories minus 1"


def call_with_arrays(test, first, second):
    """Call a test with two lists as arrays, because arrays of strings cannot be sent."""
    import numpy as np

    return test(np.array(first), np.array(second))


@task("15.8")
def test_chi2_counts_every_category(student, rng):
    """Categories that occur in only one sample count, sizes may differ, and a single category means no drift."""
    for n, m, low in ((30, 60, 0), (200, 20, 2), (50, 50, -3)):
        first, second = rng.integers(0, 4, n), rng.integers(low, 6, m)
        wanted, names = 0.0, {*first.tolist(), *second.tolist()}
        for name in names:
            both = int((first == name).sum() + (second == name).sum())
            for sample in (first, second):
                share = len(sample) / (n + m) * both
                wanted += (int((sample == name).sum()) - share) ** 2 / share
        call = f"chi2_test of {n} and {m} values in {len(names)} categories"
        with expect.explain_errors(call, CHI2_HINT):
            got = student.mlops.chi2_test(first, second)
        statistic, p = got
        expect.that(type(statistic) is float and type(p) is float, call=call, got=(statistic, p), expected="two floats")
        expect.array(statistic, wanted, rtol=1e-9, call=f"χ² of {call}", hint=CHI2_HINT)
        tail = student.mlops.chi2_tail(wanted, len(names) - 1)
        expect.array(p, tail, rtol=1e-7, call=f"p of {call}", hint=explain_chi2(p))
    call, hint = "chi2_test of one category", "with one category there is no drift: p is 1"
    with expect.explain_errors(call, hint):
        got = student.mlops.chi2_test(np.array([7, 7]), np.array([7]))
    expect.array(got, (0.0, 1.0), call=call, hint=hint)


# 15.9: many features


@task("15.9")
def test_holm_by_hand(student):
    """Of four p-values the smallest is compared with α/4 and the next with α/3; after the first failure none counts."""
    for p_values, alpha, wanted in (
        ([0.01, 0.04, 0.03, 0.005], 0.05, [True, False, False, True]),
        ([0.0125, 0.0167, 0.024, 0.05], 0.05, [True, False, False, False]),
        ([0.0125, 0.0166, 0.024, 0.05], 0.05, [True, True, True, True]),
        ([0.04, 0.04], 0.05, [False, False]),
        ([0.05], 0.05, [True]),
        ([0.2, 0.001], 0.2, [True, True]),
        ([], 0.05, []),
    ):
        hint = "reject while p ≤ alpha / (m - i), starting from the smallest, with i = 0"
        with expect.explain_errors(f"holm({p_values}, alpha={alpha})", hint):
            got = [bool(one) for one in student.mlops.holm(p_values, alpha)]
        hint = explain_holm(p_values, alpha, got, wanted)
        expect.equal(got, wanted, call=f"holm({p_values}, alpha={alpha})", hint=hint)


def explain_holm(p_values, alpha, got, wanted):
    """Return a hint for the smallest p-value whose answer is wrong."""
    m, order = len(p_values), sorted(range(len(p_values)), key=lambda place: p_values[place])
    if len(got) != m:
        return "return one bool for each p-value"
    for i, place in enumerate(order):
        if got[place] != wanted[place]:
            limit = f"p = {p_values[place]:.4g} is number {i} from the smallest, and its limit is {alpha} / ({m} - {i})"
            if p_values[place] <= alpha / (m - i) and not wanted[place]:
                return f"{limit}; but a smaller p was above its limit, and there the search ends"
            answer = (
                "not above it: it is rejected, and its answer is" if wanted[place] else "above it: its answer is not"
            )
            return f"{limit} = {alpha / (m - i):.4g}. p is {answer} True, at the position of p"
    return None


@task("15.9")
def test_holm_by_adjusted_values(student, rng):
    """A hypothesis is rejected if all p-values up to its own are at most alpha / (m - i); alpha is 5% by default."""
    cases = [[float(p) for p in rng.uniform(0, 0.3, int(rng.integers(1, 9))) ** 2] for _ in range(60)]
    for alpha in (None, 0.01, 0.02):
        arguments = [(p_values,) if alpha is None else (p_values, alpha) for p_values in cases]
        with expect.explain_errors(
            "holm of up to 8 p-values", "compare number i from the smallest with alpha / (m - i)"
        ):
            results = student.define(call_with_each)(student.mlops.holm, arguments)
        for p_values, result in zip(cases, results, strict=True):
            ordered, limit = sorted(p_values), 0.05 if alpha is None else alpha
            adjusted = [max((len(ordered) - j) * q for j, q in enumerate(ordered) if q <= p) for p in p_values]
            wanted = [value <= limit for value in adjusted]
            got, call = [bool(one) for one in result], f"holm({np.round(p_values, 4).tolist()}, {limit})"
            expect.equal(got, wanted, call=call, hint=explain_holm(p_values, limit, got, wanted))


def draw_tables(rng, size, shifted=None):
    """Draw two tables with eight numeric and four categorical features, without drift except in `shifted`.

    Several pairs of tables have columns of size (pairs, rows).
    """
    tables = []
    for moved in (None, shifted):
        numbers = {f"x{k}": rng.normal(1.0 if moved == f"x{k}" else 0.0, 1, size) for k in range(8)}
        shares = {f"c{k}": [0.25, 0.45, 0.3] if moved == f"c{k}" else [0.6, 0.3, 0.1] for k in range(4)}
        tables.append(numbers | {name: rng.choice(3, size, p=p) for name, p in shares.items()})
    return tables


@task("15.9")
def test_one_feature_has_the_p_of_its_test(student):
    """A float feature has the p-value of ks_test, and one of integers that of chi2_test, if holm rejects it."""
    ks_test, chi2_test = student.mlops.ks_test, student.mlops.chi2_test
    for one, other, test, name in (
        (np.arange(60.0), np.arange(60.0) + 16, ks_test, "ks_test"),
        (np.repeat([0, 1, 2], 20), np.repeat([0, 2, 2], 20), chi2_test, "chi2_test"),
    ):
        call, kind = f"find_drift of a feature of {one.dtype}, alpha=0.1", "floats" if name == "ks_test" else "others"
        hint = f"{name} compares {kind} (dtype.kind); of its two results, p, [1], is the one that holm and the dict get"
        with expect.explain_errors(call, hint):
            got = student.mlops.find_drift({"a": one}, {"a": other}, 0.1)
        p = test(one, other)[1]
        why = f"{hint}; p = {p:.3g} is rejected, and what holm rejects is returned"
        expect.equal(list(got), ["a"], call=f"the names in {call}", hint=why)
        expect.array(got["a"], p, rtol=1e-6, atol=0, call=f"p in {call}", hint=hint)
        got = student.mlops.find_drift({"a": one}, {"a": one}, 0.1)
        expect.equal(list(got), [], call=f"the names in {call}, without drift", hint="return only what holm rejects")


@task("15.9")
def test_floats_and_categories_are_compared_by_their_own_tests(student, rng):
    """Floating-point arrays go to ks_test, others to chi2_test; rejected p-values are returned, keyed by name."""
    reference, current = draw_tables(rng, 60)
    reference["flag"], current["flag"] = np.array([True, False] * 30), np.array([True] * 60)
    reference["half"], current["half"] = np.zeros(60, "float32"), np.ones(60, "float32")
    reference["level"], current["level"] = np.arange(60) % 5, np.arange(60) % 4
    # The counts are far apart, but the two step curves are not.
    reference["code"], current["code"] = np.repeat([0, 1, 2], 20), np.repeat([0, 2], 30)
    current = dict(reversed(current.items()))
    got, wanted = student.mlops.find_drift(reference, current, 0.01), {}
    for name, one in reference.items():
        test = student.mlops.ks_test if one.dtype.kind == "f" else student.mlops.chi2_test
        wanted[name] = test(one, current[name])[1]
    rejected = student.mlops.holm(list(wanted.values()), 0.01)
    wanted = {name: p for (name, p), drifted in zip(wanted.items(), rejected, strict=True) if bool(drifted)}
    call = "the names in find_drift of 16 features, alpha=0.01"
    hint = "compare reference[name] with current[name]; one call to holm, with alpha, decides on the p-values of all"
    expect.equal(sorted(got), sorted(wanted), call=call, hint=hint)
    for name, p in wanted.items():
        expect.array(got[name], p, rtol=1e-6, atol=0, call=f"p of {name} in find_drift", hint=hint)
    a, b = np.arange(60.0), np.arange(60.0) + 16
    for alpha, names in ((None, ["a"]), (0.01, [])):  # p of both is 0.024
        got = student.mlops.find_drift({"a": a}, {"a": b}, *([] if alpha is None else [alpha]))
        call = f"find_drift of a feature with p = 0.024, alpha {alpha or 'by default'}"
        expect.equal(sorted(got), names, call=call, hint="pass alpha on to holm")


@task("15.9")
def test_false_alarms_are_rare(student, rng):
    """At most 12% of 150 drift-free pairs of tables (12 features) raise an alarm; without Holm's correction half do."""
    found = student.define(find_each_drift)(student.mlops.find_drift, *draw_tables(rng, (150, 150)))
    alarms = sum(len(names) > 0 for names in found)
    call = "150 calls to find_drift, each with 12 features that have not drifted"
    expect.that(
        alarms <= 18, call=call, got=f"{alarms} alarms", expected="at most 18", hint="apply holm to all p-values"
    )


@task("15.9")
def test_a_drift_is_found_and_named(student, rng):
    """For at least 95 of 100 pairs in which one feature of twelve has drifted, that feature is reported."""
    found, find = 0, student.define(find_each_drift)
    for shifted, count in [(f"x{k}", 8) for k in range(8)] + [(f"c{k}", 9) for k in range(4)]:
        reported = find(student.mlops.find_drift, *draw_tables(rng, (count, 150), shifted))
        found += sum(shifted in names for names in reported)
    call = "100 calls to find_drift, each with one feature of 12 that has drifted"
    expect.that(found >= 95, call=call, got=f"{found} found", expected="at least 95")


# 15.10: the batcher's queue


def make_batcher(student, max_batch, max_wait=0.005):
    """Create a batcher; the functions above set its model."""
    return student.mlops.Batcher(None, max_batch, max_wait)


SUBMIT_HINT = (
    "submit raises a RuntimeError only if self.closed; else it appends (row, future), wakes the thread with "
    "notify_all, and returns the future"
)


@task("15.10")
def test_the_end_answers_all_and_leaves_no_thread(student):
    """When the block ends, even if an error ends it, all queued rows are answered at once and the thread ends."""
    for rows, fail in ((0, False), (7, False), (7, True)):
        call = f"[answers, thread alive] after a block with {rows} rows in the queue and max_wait=3600"
        with expect.explain_errors(call, SUBMIT_HINT):
            got = student.define(end_block_early)(make_batcher(student, 3, 3600.0), rows, fail, PATIENCE)
        hint = "at the end set closed, notify_all, and join the thread; closed ends both waits of take_batch"
        if got in ([k, False] for k in range(rows)):
            hint = (
                "submit appends each (row, future), and take_batch removes and returns the first ones until none waits"
            )
        elif got == [rows, True]:
            hint = "join the thread: the block must not end before it"
        expect.equal(got, [rows, False], call=call, hint=hint)


@task("15.10")
def test_batches_are_taken_in_order(student, rng):
    """Rows submitted before the block are predicted in order, at most max_batch at a time."""
    run = student.define(run_batches)
    for count, size in ((10, 4), (8, 4), (3, 32), (5, 1)):
        rows = [np.array([float(k), float(rng.normal())]) for k in range(count)]
        wait = 0.005 if count % size else 3600.0  # full batches wait for nothing
        call = f"{count} rows submitted before the block, max_batch={size}, max_wait={wait}"
        with expect.explain_errors(call, SUBMIT_HINT):
            got = run(make_batcher(student, size, wait), rows, -1.0, PATIENCE)
        answers, batches = got
        numbers = [float(k) for k in range(count)]
        wanted = [numbers[start : start + size] for start in range(0, count, size)]
        errors = [answer for answer in answers if type(answer) is str]
        hint = "take the first max_batch; the others stay queued"
        if errors:  # TimeoutError if the thread waits for ever
            told, hint = "the first error that a caller gets", "take_batch: a full batch waits for nothing"
            if count % size and type(answers[count - count % size - 1]) is not str:
                hint = (
                    "take_batch: a batch that does not fill up is taken after max_wait, the timeout of the second wait"
                )
            raise expect.Mismatch(call=f"{told}: {call}", got=errors[0], expected="none", hint=hint)
        expect.equal(batches, wanted, call=f"the batches of {call}", hint=hint)


@task("15.10")
def test_one_row_does_not_wait_for_others(student):
    """A batch that does not fill up is predicted after max_wait, while the block is still open."""
    call, hint = "one thread, max_batch=1000, max_wait=0.01", "wait_for(…, self.max_wait) ends without a full batch"
    told = f"submit must wake the thread with notify_all, and take_batch must wait for a row; {hint}"
    with expect.explain_errors(call, told):
        answers = student.define(run_caller_threads)(make_batcher(student, 1000, 0.01), 1, 3, PATIENCE)
    expect.equal(answers, [[0.0, 1.0], [1.0, 2.0], [2.0, 5.0]], call=call, hint=hint)


@task("15.10")
def test_a_batch_waits_for_more_rows(student):
    """With a long max_wait, a batch is predicted when it is full, and not before."""
    call = "the batches of 3 rows, the last one later, with max_batch=3 and max_wait=3600"
    hint = "the second wait_for ends when there are max_batch rows, and submit notifies it of each"
    with expect.explain_errors(call, hint):
        sizes = student.define(submit_with_pause)(make_batcher(student, 3, 3600.0), PATIENCE)
    expect.equal(sizes, [3], call=call, hint=hint)


@task("15.10")
def test_after_the_end_no_row_is_taken(student):
    """Submitting after the block raises a RuntimeError; every row accepted while the block ends is answered."""
    batcher = make_batcher(student, 4)
    student.define(end_block_early)(batcher, 2, False, PATIENCE)
    with expect.raises(RuntimeError, call="submit after the block", hint="submit must look at self.closed"):
        batcher.submit(1.0)
    lost = student.define(submit_while_block_ends)(student.mlops.Batcher, 20, PATIENCE)
    call = "rows accepted but never answered, while two threads submit and the block ends"
    expect.equal(lost, 0, call=call, hint="check closed and append under the same lock")


# 15.11: answers


ANSWER_HINT = (
    "keep the futures for which set_running_or_notify_cancel() is True, and tell each of them something: set_result "
    "with its output, or set_exception with the error of the batch"
)


@task("15.11")
def test_every_caller_gets_its_own_answer(student):
    """Eight threads submit 40 rows each at the same time, and each row gets its own answer."""
    for size in (1, 3, 64):
        call = f"320 numbers from 8 threads, max_batch={size}; the model returns x² + 1"
        with expect.explain_errors(call, ANSWER_HINT):
            answers = student.define(run_caller_threads)(make_batcher(student, size, 0.001), 8, 40, PATIENCE)
        wrong = [pair for pair in answers if pair[1] != pair[0] ** 2 + 1]
        expect.equal(wrong, [], call=f"wrong pairs [x, answer] of {call}", hint="output i belongs to future i")
        expect.equal(sorted(x for x, _ in answers), [float(k) for k in range(320)], call=f"the numbers of {call}")


@task("15.11")
def test_an_error_is_its_batchs_alone(student, rng):
    """An error in the model for one batch reaches the callers of that batch, and the others get their answers."""
    rows = [np.array([float(k), 1.0]) for k in range(12)]
    bad = int(rng.integers(12))
    answers, batches = student.define(run_batches)(make_batcher(student, 4), rows, float(bad), PATIENCE)
    error = f"KeyError: 'no answer for {float(bad)}'"
    wanted = [error if k // 4 == bad // 4 else [2.0 * k, 2.0] for k in range(12)]
    hint = "catch every Exception of stacking and predicting, and set_exception for each future of this batch only"
    expect.equal(answers, wanted, call=f"12 rows, max_batch=4, the model raises for row {bad}", hint=hint)
    expect.equal(len(batches), 3, call="the number of batches", hint="the thread must continue after an error")


@task("15.11")
def test_rows_that_do_not_fit_together_are_an_error(student):
    """Rows of different shapes cannot be stacked: this batch gets an error, and no other does."""
    rows = [np.zeros(3), np.zeros(2), np.ones(3), np.ones(3)]
    answers, _ = student.define(run_batches)(make_batcher(student, 2), rows, -1.0, PATIENCE)
    refused = [type(answer) is str and answer.startswith("ValueError") for answer in answers[:2]]
    call = "ValueErrors for rows of 3 and of 2 numbers in one batch"
    expect.equal(refused, [True, True], call=call, hint="stack inside try, and set_exception for each future")
    expect.equal(answers[2:], [[2.0] * 3] * 2, call="the next batch", hint="stack inside try")


@task("15.11")
def test_a_wrong_number_of_outputs_is_an_error(student):
    """Too many or too few outputs raise a ValueError for the entire batch, since nobody knows whose they are."""
    for more in (1, -1, 3, -4):
        answers = student.define(run_wrong_output_count)(make_batcher(student, 4), 6, more, PATIENCE)
        call = f"6 rows, max_batch=4, first batch of {4 + more} outputs"
        expect.equal(answers, ["ValueError"] * 4 + [0.0] * 2, call=call, hint="zip with strict=True, inside try")


@task("15.11")
def test_what_was_cancelled_is_left_out(student):
    """A row whose future was cancelled is not predicted, and the rest of its batch is answered."""
    for cancelled in ([1], [0, 2], [0, 1, 2], []):
        kept = [k for k in range(6) if k not in cancelled]
        call = f"6 rows, max_batch=3, of which {cancelled} were cancelled"
        with expect.explain_errors(call, ANSWER_HINT):
            got = student.define(cancel_some_rows)(make_batcher(student, 3), 6, cancelled, PATIENCE)
        answers, batches = got
        hint = "future.set_running_or_notify_cancel() is False for them"
        expect.equal(answers, [k + 0.5 for k in kept], call=f"the answers of {call}", hint=hint)
        groups = [[float(k) for k in kept if k // 3 == group] for group in (0, 1)]
        expect.equal([b for b in batches if b], [g for g in groups if g], call=f"the rows of {call}", hint=hint)


# 15.12: requests


def encode_request(rows):
    """Encode a request for these rows."""
    return json.dumps({"rows": rows}).encode()


def require_refusal(call, function, status, mentions="", hint=None):
    """Require that `function` raises a RequestError with this status and these words, and nothing else.

    `hint` may be a function of what is raised.
    """
    expected = f"RequestError({status}, …)" + (f" that mentions {mentions}" if mentions else "")
    cause, got = None, "no exception"
    try:
        function()
    except Exception as error:
        if expect.is_gap(error) or isinstance(error, expect.NO_ANSWER):
            raise
        cause, text = error, str(error)
        got = f"{expect.get_exception_type_name(error)}: {text}"
        if got.startswith("RequestError:") and f"({status}, " in text and mentions in text:
            return
    advice = hint(got) if callable(hint) else hint
    # With a cause, a general hint about its type would replace this one.
    raise expect.Mismatch(call=call, got=got, expected=expected, hint=advice) from (None if advice else cause)


def explain_parsing_error(got):
    """Return a hint for an exception although the request is good."""
    if "(413" in got:
        return "413 is only for a body of more than max_bytes; exactly max_bytes are read"
    return (
        "a good request has at least one row, shape (len(rows), features), no types but int and float (perhaps only "
        "one of them), and magnitudes ≤ the largest float32, which itself is allowed"
    )


@task("15.12")
def test_rows_are_read(student, rng):
    """Integers and floats in any notation become float32 (n, features); other keys are ignored."""
    for n, features in ((1, 1), (3, 4), (20, 2)):
        rows = rng.normal(size=(n, features)).tolist()
        with expect.explain_errors(f"parse_rows of {n} rows", explain_parsing_error):
            got = student.mlops.parse_rows(encode_request(rows), features)
        expect.array(got, np.array(rows, "float32"), rtol=0, atol=0, dtype="float32", call=f"parse_rows of {n} rows")
    body = ' {"user": "ada", "rows": [ [1, -2.5e1, 0.0],\n[340282346638528859811704183484516925440, 1E-2, -0]] } '
    wanted = np.array([[1, -25, 0], [340282346638528859811704183484516925440.0, 0.01, 0]], "float32")
    with expect.explain_errors(f"parse_rows({body!r}, 3)", explain_parsing_error):
        got = student.mlops.parse_rows(body.encode(), 3)
    expect.array(got, wanted, rtol=0, atol=0, dtype="float32", call=f"parse_rows({body!r}, 3)")


@task("15.12")
def test_what_is_too_large_is_413(student):
    """A body of more than max_bytes, 65,536 by default, is rejected before parsing; exactly max_bytes are read."""
    parse, body = student.mlops.parse_rows, encode_request([[1.0, 2.0]])
    with expect.explain_errors("parse_rows of max_bytes bytes", explain_parsing_error):
        got = parse(body, 2, len(body))
    expect.array(got, [[1.0, 2.0]], call="parse_rows of max_bytes bytes")
    hint = "if there are more than max_bytes bytes, raise a 413 before you parse"
    require_refusal("parse_rows of max_bytes + 1 bytes", lambda: parse(body + b" ", 2, len(body)), 413, hint=hint)
    require_refusal("parse_rows of 65,537 bytes that are not JSON", lambda: parse(b"x" * 65537, 2), 413, hint=hint)
    expect.array(parse(body.ljust(65536), 2), [[1.0, 2.0]], call="parse_rows of 65,536 bytes", hint=hint)


@task("15.12")
def test_what_is_not_a_request_is_400(student):
    """Every other bad request raises a RequestError 400 that states the required number of features."""
    shape = "the array must have the shape (len(rows), features), with at least one row; NumPy or len may raise, too"
    types = "the type of each number must be exactly int or float: no bool, string or None, and no container"
    finite = "each magnitude must be ≤ the largest float32, which is False for nan; a huge integer may overflow"
    other = 'what json.loads and ["rows"] raise (ValueError, KeyError, TypeError, RecursionError) becomes a 400'
    rows = {
        shape: ["[]", "[[]]", "[[1, 2]]", "[[1, 2, 3, 4]]", "[[1, 2, 3], [1, 2]]", "[1, 2, 3]", "[[[1, 2, 3]]]",
                "[[1, 2, [3]]]", "null", "3", "{}", "[[1, 2, 3], null]"],
        types: ['[["1", 2, 3]]', "[[true, 2, 3]]", "[[1, null, 3]]", "[[1, 2, {}]]", '"abc"', '{"0": [1, 2, 3]}',
                '[["NaN", 2, 3]]', '["123"]', '[{"a": 1, "b": 2, "c": 3}]', '[[1, 2, "3"]]',
                "[[1, 2, 3], [1, 2, false]]"],
        finite: ["[[NaN, 2, 3]]", "[[1, Infinity, 3]]", "[[1, 2, -Infinity]]", "[[1e400, 2, 3]]", "[[1e39, 2, 3]]",
                 "[[1, 2, -4e38]]", f"[[1{'0' * 400}, 2, 3]]"],
    }  # fmt: skip
    bodies = [(f'{{"rows": {row}}}'.encode(), hint) for hint, group in rows.items() for row in group]
    bad = [b"", b"{", b"[[1, 2, 3]]", b'{"row": [[1, 2, 3]]}', b"rows", b"7", b"null", b'"rows"', b"\xff\xfe\x00"]
    bad += [b'{"rows": [[1, 2, 3]]', b'{"rows": [[1, 2, 03]]}', b"[" * 30_000, b'{"rows":' * 9_000, b'["rows"]']
    for body, hint in [*bodies, *((body, other) for body in bad)]:
        call = f"parse_rows({body[:60]!r}, features=3)"
        require_refusal(call, lambda body=body: student.mlops.parse_rows(body, 3, 1 << 20), 400, "3", hint)


# 15.13: predicting


def explain_prediction_error(got):
    """Return a hint for an exception although the request and the model are good."""
    if "(503" in got:
        return "503 is only for no model, or if no slot is free: acquire(blocking=False) is True if it got one"
    if "(500" in got:
        return (
            "the model is (name, function): call the function with the rows; 500 only if it raises or not all is finite"
        )
    return None


@task("15.13")
def test_a_prediction_is_the_models(student, rng):
    """The answer has the model's name and its outputs as a list of numbers or rows; the model gets float32."""
    rows = rng.normal(size=(4, 3)).astype("float32")
    service, make = student.mlops.Service(3), student.define(make_model)
    sums = rows.sum(axis=1)
    for what, wanted in (
        ("one", sums),
        ("two", np.stack([sums, rows[:, 0] * 2], axis=1)),
        ("dtype", np.full(4, 32)),
    ):
        service.model = make(f"model {what}", what)
        with expect.explain_errors("Service.predict(body)", explain_prediction_error):
            got = service.predict(encode_request(rows.tolist()))
        expect.equal(sorted(got), ["model", "outputs"], call="the keys of Service.predict(body)")
        call, hint = "the model's name in Service.predict(body)", "the model is (name, function)"
        expect.equal(got["model"], f"model {what}", call=call, hint=hint)
        expect.that(type(got["outputs"]) is list, call="the outputs", got=got["outputs"], expected="a list")
        expect.array(got["outputs"], wanted, call=f"the outputs of a model, {what}")
    require_refusal("predict of a row of 2", lambda: service.predict(encode_request([[1, 2]])), 400)
    require_refusal("predict of 70,000 bytes", lambda: service.predict(b" " * 70_000), 413)


@task("15.13")
def test_without_a_model_it_is_503(student):
    """A service without a model answers 503; a new model is used from the next request on."""
    service = student.mlops.Service(1)
    body = encode_request([[2.0]])
    hint = "503 if there is no model, or else if no slot is free"
    require_refusal("predict without a model", lambda: service.predict(body), 503, hint=hint)
    service.model = student.define(make_model)("a", "one")
    expect.equal(service.predict(body), {"model": "a", "outputs": [2.0]}, call="predict with a model")
    service.model = student.define(make_model)("b", "two")
    expect.equal(service.predict(body), {"model": "b", "outputs": [[2.0, 4.0]]}, call="predict with another model")
    service.model = None
    require_refusal("predict after the model was removed", lambda: service.predict(body), 503, hint=hint)


SLOT = "finally: self.slots.release(): every slot that was acquired is released, also after a failure"


@task("15.13")
def test_what_the_model_does_wrong_is_500(student):
    """If a model raises, or returns NaN or infinity, the status is 500 without details, and the slot is released."""
    service, make = student.mlops.Service(1, max_busy=2), student.define(make_model)
    body = encode_request([[1.0], [2.0]])
    for what in ("raises", "nan", "inf", "-inf") * 2:
        service.model = make("bad", what)
        call = f"predict with a model whose output is: {what}"
        hint = "raise a RequestError 500 unless all outputs are finite"
        if what == "raises":
            hint = "catch every Exception of the model, and raise a RequestError 500 from it"
        require_refusal(
            call, lambda: service.predict(body), 500, hint=lambda got, hint=hint: SLOT if "(503" in got else hint
        )
        try:
            service.predict(body)
        except Exception as error:
            expect.that("password" not in str(error), call=f"the message of {call}", got=str(error),
                        expected="nothing of the model's own message")  # fmt: skip
    for _ in range(4):
        require_refusal("predict of no JSON", lambda: service.predict(b"{"), 400)
    service.model = make("good", "one")
    wanted, call = {"model": "good", "outputs": [1.0, 2.0]}, "predict after 16 failures, max_busy=2"
    with expect.explain_errors(call, SLOT):
        got = service.predict(body)
    expect.equal(got, wanted, call=call, hint=SLOT)


@task("15.13")
def test_too_many_at_once_is_503(student):
    """While max_busy predictions are running, another one is rejected immediately; afterwards there is room again."""
    body = encode_request([[1.0]])
    for at_once in (1, 3, 8):
        service = student.mlops.Service(1) if at_once == 8 else student.mlops.Service(1, max_busy=at_once)
        got = student.define(fill_all_slots)(service, "slow", body, at_once, PATIENCE)
        call = f"max_busy={at_once}: [statuses of one more, of those before, afterwards]"
        hint = "acquire(blocking=False) gets a slot or refuses at once; it is released after the answer, and only then"
        expect.equal(got, [[503], [200] * at_once, 200], call=call, hint=hint)


# 15.14: the handler


def send_request(service, method, path, body=b""):
    """Send a request; return its status and parsed answer. NaN and infinity are not JSON, so they are a mismatch."""
    call = f"the answer of handle({method!r}, {path!r}, {body[:40]!r})"
    hint = "handle catches RequestError(status, sentence) and answers (status, JSON) to everything"
    if path == "/metrics":
        hint = "p50, p90 and p99 are three percentiles of the seconds, or None, three times, if there was no request"
    with expect.explain_errors(call, hint):
        got = service.handle(method, path, body)
    status, answer = got

    def reject_constant(constant):
        raise ValueError(f"{constant} is not JSON")

    expect.that(type(answer) is bytes, call=call, got=answer, expected="bytes")
    try:
        return status, json.loads(answer, parse_constant=reject_constant)
    except ValueError as error:
        raise expect.Mismatch(call=call, got=str(answer[:100]), expected="JSON") from error


@task("15.14")
def test_the_routes(student):
    """Each path has its method; the status is 404 for other paths and 405 for other methods, with a reason."""
    service = student.mlops.Service(2, student.define(make_model)("sum", "one"))
    body = encode_request([[1.0, 2.0]])
    wanted = (200, {"model": "sum", "outputs": [3.0]})
    hint = "200 and the result of the method that the path names, if the dict has this method for this path"
    expect.equal(send_request(service, "POST", "/predict", body), wanted, call="POST /predict", hint=hint)
    expect.equal(send_request(service, "GET", "/health"), (200, {"model": "sum"}), call="GET /health", hint=hint)
    status, answer = send_request(service, "GET", "/metrics")
    expect.equal((status, sorted(answer)), (200, ["requests", "seconds"]), call="GET /metrics", hint=hint)
    service.model = None
    for method, path, wanted in (
        ("POST", "/predict", 503), ("GET", "/health", 503), ("GET", "/predict", 405), ("POST", "/health", 405),
        ("PUT", "/metrics", 405), ("post", "/predict", 405), ("GET", "/", 404), ("GET", "", 404),
        ("GET", "/handle", 404), ("GET", "/features", 404), ("GET", "/__init__", 404), ("POST", "/predict/", 404),
        ("GET", "/../health", 404),
        ("GET", "health", 404), ("GET", "/health?x", 404), ("DELETE", "/nothing", 404),
    ):  # fmt: skip
        status, answer = send_request(service, method, path, body)
        call = f"{method} {path} without a model"
        hint = {
            503: "a RequestError carries (status, sentence): pass on its own status",
            405: "405 for another method of a known path",
            404: "404 for a path that is not in the dict of paths",
        }[wanted]
        expect.equal(status, wanted, call=call, hint=hint)
        fine = type(answer) is dict and list(answer) == ["error"] and type(answer["error"]) is str and answer["error"]
        hint = "a RequestError's second argument is the sentence"
        expect.that(bool(fine), call=f"the answer of {call}", got=answer, expected='{"error": a sentence}', hint=hint)


@task("15.14")
def test_whatever_comes_is_answered(student, rng):
    """No body makes the handler raise; each gets a status and JSON with a reason."""
    service = student.mlops.Service(2, student.define(make_model)("sum", "one"))
    good = encode_request([[1.0, 2.0], [3.0, 4.0]])
    bodies = [b"", b"\0" * 50, b"[" * 60_000, b" " * 70_000, b'{"rows": [[NaN, 1]]}', b'{"rows": [[1e999, 1]]}']
    for _ in range(60):
        place = int(rng.integers(len(good)))
        bodies.append(good[:place] + bytes([int(rng.integers(256))]) + good[place + int(rng.integers(2)) :])
        bodies.append(good[:place])
    for body in bodies:
        status, answer = send_request(service, "POST", "/predict", body)
        call = f"POST /predict with {body[:60]!r}"
        expect.that(status in (200, 400, 413), call=call, got=status, expected="200, 400 or 413")
        expect.that(("error" in answer) == (status != 200), call=call, got=answer, expected="a reason unless it is 200")
    service.model = student.define(make_model)("bad", "nan")
    status, answer = send_request(service, "POST", "/predict", good)
    expect.equal((status, list(answer)), (500, ["error"]), call="POST /predict with a model that returns NaN")


@task("15.14")
def test_metrics_count_and_measure(student, rng):
    """Metrics count requests to /predict by status, with quantiles of their seconds by the service's clock."""
    waits = [float(seconds) for seconds in rng.exponential(size=40)]
    service = student.define(make_timed_service)(student.mlops.Service, 1, waits)
    empty = {"requests": {}, "seconds": {"p50": None, "p90": None, "p99": None}}
    call, hint = "GET /metrics before any prediction", "without requests, each quantile of their seconds is None"
    expect.equal(send_request(service, "GET", "/metrics"), (200, empty), call=call, hint=hint)
    for k in range(40):
        send_request(service, "POST", "/predict", encode_request([[1.0]]))
        send_request(service, "GET", ("/health", "/elsewhere", "/version")[k % 3])
    for k in range(10):
        send_request(service, "POST", "/predict", b"{" if k < 7 else b" " * 70_000)
    ordered = sorted([*waits, *[0.0] * 10])
    _, answer = send_request(service, "GET", "/metrics")
    call = "GET /metrics after 40 predictions, 7 bodies that are not JSON and 3 that are too large"
    hint = "record (str(status), seconds) of each request to /predict, whatever its status, and of no other"
    expect.equal(answer["requests"], {"200": 40, "400": 7, "413": 3}, call=f"requests of {call}", hint=hint)
    expect.equal(sorted(answer["seconds"]), ["p50", "p90", "p99"], call=f"the names in seconds of {call}")
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        below = int(share * 49)
        wanted = ordered[below] + (share * 49 - below) * (ordered[below + 1] - ordered[below])
        got, hint = answer["seconds"][name], f"the seconds are self.clock() at the end minus at the begin; {name} is "
        hint += f"their np.percentile at {name[1:]}, and None only without any request"
        expect.array(got, wanted, rtol=1e-6, atol=1e-9, call=f"{name} of {call}", hint=hint)


@task("15.14")
def test_metrics_are_those_of_the_last_thousand(student):
    """Old requests are forgotten: counts and quantiles cover only the last 1,000."""
    service = student.define(make_timed_service)(student.mlops.Service, 1, [50.0] * 5 + [1.0] * 1000)
    expect.equal(student.define(send_many_requests)(service, b"{", 3), [400], call="the statuses of 3 bad requests")
    expect.equal(
        student.define(send_many_requests)(service, encode_request([[1.0]]), 1005),
        [200],
        call="the statuses of 1,005 good requests",
    )
    wanted = {"requests": {"200": 1000}, "seconds": {"p50": 1.0, "p90": 1.0, "p99": 1.0}}
    call = "GET /metrics after 3 bad requests, 5 of 50 s and 1,000 of 1 s"
    status, answer = send_request(service, "GET", "/metrics")
    expect.equal((status, answer), (200, wanted), call=call, hint="deque(maxlen=1000)")


@task("15.14")
def test_no_request_is_lost_between_threads(student):
    """Eight threads send 100 requests each at the same time, and the metrics count every one."""
    service = student.mlops.Service(1, student.define(make_model)("sum", "one"), max_busy=8)
    got = student.define(send_from_threads)(service, encode_request([[1.0]]), 8, 100, PATIENCE)
    expect.equal(got, [200], call="the statuses of 800 requests from 8 threads, max_busy=8")
    _, answer = send_request(service, "GET", "/metrics")
    expect.equal(answer["requests"], {"200": 800}, call="requests in GET /metrics after 800 from 8 threads")


# 15.15: the same users each time


def locate_user(user, salt):
    """Return the position, from 0 to 1, that follows from the digest of salt and user."""
    return int(compute_sha256(f"{salt}:{user}".encode())[:8], 16) / 16**8


@task("15.15")
def test_the_share_is_that_of_the_digest(student, rng):
    """Only salt and name decide who gets the canary: about the given share of users, and always the same ones."""
    users = [f"user {k}" for k in rng.integers(0, 10**9, 300)] + ["Zoë", "", "a:b"]
    for share, salt in ((0.1, "digits-7"), (0.5, "x"), (0.0, "x"), (1.0, "x")):
        with expect.explain_errors(f"choose of {len(users)} users", "int(…, 16) reads the first 8 hexadecimal digits"):
            chosen = student.define(call_with_each)(student.mlops.Canary(share, salt).choose, [(one,) for one in users])
        for user, got in zip(users, chosen, strict=True):
            wanted = "canary" if locate_user(user, salt) < share else "stable"
            hint = 'the first 8 digits of digest("salt:user"), read with base 16, are below share · 16⁸, i.e. 16 ** 8'
            expect.equal(got, wanted, call=f"Canary({share}, {salt!r}).choose({user!r})", hint=hint)
    for user in users[:10]:
        got = student.mlops.Canary(locate_user(user, "x"), "x").choose(user)
        call, hint = (
            f"Canary({locate_user(user, 'x')!r}, 'x').choose({user!r}), whose position is the share",
            "take those below the share, without the share itself",
        )
        expect.equal(got, "stable", call=call, hint=hint)


@task("15.15")
def test_a_user_keeps_the_model(student):
    """A user's choice is always the same, in any order and from an identical canary; a larger share keeps its users."""
    canary, again = student.mlops.Canary(0.3, "s"), student.mlops.Canary(0.3, "s")
    users, each = [(f"user {k}",) for k in range(60)], student.define(call_with_each)
    first = each(canary.choose, users)
    expect.equal(each(canary.choose, users), first, call="choose of 60 users, a second time")
    expect.equal(each(again.choose, users[::-1]), first[::-1], call="choose in another order")
    wider = each(student.mlops.Canary(0.6, "s").choose, users)
    kept = [arm for arm, before in zip(wider, first, strict=True) if before == "canary"]
    call = "users with the canary at a share of 0.3, at 0.6"
    expect.equal(sorted(set(kept)), ["canary"], call=call, hint="take those below the share, not those above 1 - share")


@task("15.15")
def test_a_decided_canary_is_for_everybody_or_nobody(student):
    """After a roll-back everybody gets the stable model, and after a promotion everybody gets the new one."""
    users = [f"user {k}" for k in range(40)]
    for share in (0.0, 0.5, 1.0):
        canary = student.mlops.Canary(share, "s")
        for state, wanted in (("rolled back", "stable"), ("promoted", "canary")):
            canary.state = state
            got = student.define(call_with_each)(canary.choose, [(user,) for user in users])
            hint = "rolled back means a share of 0, and promoted a share of 1, whatever the share was"
            expect.equal(got, [wanted] * 40, call=f"choose of 40 users, {state}, share {share}", hint=hint)


# 15.16: when to withdraw it


def compute_fisher_tail(failures, requests, other_failures, other_requests):
    """Compute Fisher's tail with logarithms of factorials."""

    def log_ways(n, k):
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    total, ways = failures + other_failures, log_ways(requests + other_requests, failures + other_failures)
    fitting = [k for k in range(failures, min(total, requests) + 1) if total - k <= other_requests]
    return sum(math.exp(log_ways(requests, k) + log_ways(other_requests, total - k) - ways) for k in fitting)


@task("15.16")
def test_fisher_is_scipys(student, rng):
    """The probability agrees with SciPy's fisher_exact (reference.json), and is correct in extreme cases."""
    call = "fisher_tail(1, 3, 1, 2)"
    hint = (
        "2 of 5 requests fail, in C(5, 2) = 10 ways. k = 1 of them is among the first 3 in C(3, 1) · C(2, 1) = 6 ways, "
        "and k = 2 in C(3, 2) · C(2, 0) = 3. 9 / 10 is for k from `failures`, 1, to the smaller of total and requests"
    )
    with expect.explain_errors(call, hint):
        got = student.mlops.fisher_tail(1, 3, 1, 2)
    expect.array(got, 0.9, rtol=1e-7, call=call, hint=hint)
    for *counts, wanted in REFERENCE["fisher"]:
        call = f"fisher_tail{tuple(counts)}"
        with expect.explain_errors(call, FISHER_HINT):
            got = student.mlops.fisher_tail(*counts)
        expect.array(got, wanted, rtol=1e-7, call=call, hint=FISHER_HINT)
    for _ in range(40):
        n, m = (int(size) for size in rng.integers(1, 400, 2))
        a, b = int(rng.integers(0, n + 1)), int(rng.integers(0, m + 1))
        wanted, call = compute_fisher_tail(a, n, b, m), f"fisher_tail({a}, {n}, {b}, {m})"
        with expect.explain_errors(call, FISHER_HINT):
            got = student.mlops.fisher_tail(a, n, b, m)
        expect.array(got, wanted, rtol=1e-6, atol=1e-12, call=call, hint=FISHER_HINT)
    for counts, wanted in (((0, 50, 9, 70), 1.0), ((0, 5, 0, 5), 1.0), ((2, 2, 0, 2), 1 / 6), ((1, 10, 0, 0), 1.0)):
        with expect.explain_errors(f"fisher_tail{counts}", FISHER_HINT):
            got = student.mlops.fisher_tail(*counts)
        expect.array(got, wanted, rtol=1e-9, call=f"fisher_tail{counts}", hint=FISHER_HINT)


def simulate_canary(share, salt, looks, alpha, start, failures):
    """Return what a canary must do with these requests: its decision [request, state], the state, the counts."""
    counts, state, changes = {"stable": [0, 0], "canary": [0, 0]}, "running", []
    for number, both in enumerate(failures.tolist()):
        if state != "running":
            break
        arm = "canary" if locate_user(f"user {start + number}", salt) < share else "stable"
        counts[arm][0] += 1
        counts[arm][1] += both[arm == "canary"]
        if arm == "canary" and counts[arm][0] in looks:
            tail = compute_fisher_tail(
                counts["canary"][1], counts["canary"][0], counts["stable"][1], counts["stable"][0]
            )
            last = "promoted" if counts[arm][0] == max(looks) else "running"
            state = "rolled back" if tail <= alpha / len(looks) else last
            changes += [[number, state]] if state != "running" else []
    return changes, state, counts


@task("15.16")
def test_answers_are_counted_for_each_model(student, rng):
    """Until the first look, each model's answers and failures are counted, and the state stays as it is."""
    failures = rng.random((60, 2)) < [0.5, 0.5]
    got = student.define(run_canary_requests)(student.mlops.Canary(0.5, "s", (1000,)), 0, failures)
    call = "60 requests long before the first look"
    hint = "record returns the state, which changes only when the canary's own count is in `looks`"
    expect.equal(got[0], [], call=f"[request, new state] during {call}", hint=hint)
    hint = "while the state is running, each answer adds 1 to its model's requests, and `failed` to its failures"
    expect.equal(
        got[2], simulate_canary(0.5, "s", (1000,), 0.05, 0, failures)[2], call=f"the counts after {call}", hint=hint
    )
    expect.equal(got[1], "running", call=f"canary.state after {call}", hint="nothing is decided before a look")


def explain_decision(got, wanted):
    """Return a hint for the first decision [request, state] of a canary that differs from the right one."""
    compared = "roll back if fisher_tail(canary's failures, requests, the other's …) is ≤ alpha / len(looks)"
    if not got or not wanted:
        return f"at each look, {compared}, and else promote at the last one, max(looks)"
    (request, state), (right, _) = got[0], wanted[0]
    if request == right:
        return f"at the last look: {compared}, or else promote"
    if state == "promoted":
        return (
            f"promote only when the canary's own count reaches the last look, max(looks), and not earlier: {compared}"
        )
    return f"compare only when the canary's own count is in `looks`, and go on if it is not the last: {compared}"


@task("15.16")
def test_a_canary_decides_at_its_looks(student, rng):
    """A canary is rolled back at the first look with a tail of at most alpha / looks, and otherwise promoted."""
    run = student.define(run_canary_requests)
    for k, (stable, new) in enumerate(itertools.product((0.02, 0.1), (0.0, 0.1, 0.3)), start=1):
        for looks, alpha in (((20, 40, 60), 0.05), ((30,), 0.2), ((25, 80), 0.01)):
            failures = rng.random((400, 2)) < [stable, new]
            start = int(rng.integers(10**6))
            got = run(student.mlops.Canary(0.4, f"salt {k}", looks, alpha), start, failures)
            wanted = simulate_canary(0.4, f"salt {k}", looks, alpha, start, failures)
            call = f"400 requests, {stable:.0%} and {new:.0%} fail, looks={looks}, alpha={alpha}"
            hint = explain_decision(got[0], wanted[0])
            expect.equal(got[0], wanted[0], call=f"[request, new state] with {call}", hint=hint)
            expect.equal(got[1], wanted[1], call=f"canary.state with {call}", hint=hint)
            hint = "once the state is decided, nothing else counts"
            expect.equal(got[2], wanted[2], call=f"[requests, failures] with {call}", hint=hint)


@task("15.16")
def test_nothing_is_decided_before_the_first_look(student):
    """Even if every answer of the canary fails, nothing is decided before the first look (by default at 100)."""
    for failed, count, wanted in (
        (True, 101, ["running"] * 99 + ["rolled back"] * 2),
        (False, 401, ["running"] * 399 + ["promoted"] * 2),
    ):
        record = student.mlops.Canary(0.1, "s").record
        student.define(call_with_each)(record, [("stable", False)] * 500)
        states = student.define(call_with_each)(record, [("canary", failed)] * count)
        call = f"the states of a canary that {'always' if failed else 'never'} fails, with the default looks"
        hint = "compare only when the canary's own count is in `looks`, and promote only at the last look"
        expect.equal(states, wanted, call=call, hint=hint)


@task("15.16")
def test_each_look_has_its_share_of_alpha(student):
    """By default four looks share the 5%: 6 failures of 100 against none of 100 are not enough, but 7 are."""
    for failures, wanted in ((6, "running"), (7, "rolled back")):
        record, answers = student.mlops.Canary(0.5, "s").record, [True] * failures + [False] * (100 - failures)
        student.define(call_with_each)(record, [("stable", False)] * 100)
        *_, state = student.define(call_with_each)(record, [("canary", failed) for failed in answers])
        tail = compute_fisher_tail(failures, 100, 0, 100)
        call = f"{failures} failures of 100 against none of 100, a tail of {tail:.4f}"
        expect.equal(state, wanted, call=call, hint="compare with alpha / len(looks), and alpha is 0.05 by default")


@task("15.16")
def test_a_tail_of_just_alpha_rolls_back(student):
    """A canary whose tail exactly equals its look's share of alpha is rolled back."""
    tail = student.mlops.fisher_tail(1, 1, 0, 1)
    canary = student.mlops.Canary(0.5, "s", (1,), tail)
    canary.record("stable", False)
    call = f"the state after one failure of the canary and none of the stable model, looks=(1,), alpha={tail!r}"
    state, hint = canary.record("canary", True), "roll back for a tail ≤ alpha / len(looks)"
    expect.equal(state, "rolled back", call=call, hint=hint)


@task("15.16")
def test_bad_canaries_go_and_equal_ones_stay(student, rng):
    """At least 95 of 100 canaries that fail five times as often are rolled back, and at most 10 of 150 equal ones."""
    run, rolled = student.define(run_canaries), {}
    for name, runs, new in (("bad", 100, 0.25), ("equal", 150, 0.05)):
        starts, failures = rng.integers(10**6, size=runs).tolist(), rng.random((runs, 450, 2)) < [0.05, new]
        states = run(student.mlops.Canary, starts, failures)
        rolled[name] = sum(state == "rolled back" for state in states)
    call = "canaries that were rolled back, where the stable model fails in 5% of requests and the new one"
    expect.that(rolled["bad"] >= 95, call=f"{call} in 25%", got=rolled["bad"], expected="at least 95 of 100")
    hint = "compare only at the looks, each with alpha / len(looks)"
    expect.that(
        rolled["equal"] <= 10, call=f"{call} in 5%", got=rolled["equal"], expected="at most 10 of 150", hint=hint
    )
