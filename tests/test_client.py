"""A worker answers with plain values and proxies; whatever else it does ends it, in words a student understands."""

from __future__ import annotations

import time

import numpy as np
import pytest

from grading import limits
from grading.client import MAX_MEMORY
from grading.proxy import Proxy
from grading.remote import DeadlineError, ProtocolError, RemoteError, WorkerDiedError, WorkerFailureError
from grading.sandbox import launch
from grading.testing.students import WorkerPool

LYING = """
class Liar:
    shape = property(lambda self: Liar())
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __len__(self): return -1 if False else 3
    def __repr__(self): return "2"
    def numpy(self): return Liar()
    __hash__ = None
class Number(float):
    def __eq__(self, other): return True
    __hash__ = float.__hash__
def liar(): return Liar()
def number(): return Number(1.0)
"""


def test_plain_values_cross_and_objects_stay(worker_of):
    """Plain values come back as themselves, everything else as a proxy."""
    code = worker_of(
        "class A:\n    x = (1, 2.5, 'a', None, True, [b'b'])\n    def f(self, n, *, k=1): return n + k\n"
    ).module("code")
    thing = code.A()
    assert thing.x == (1, 2.5, "a", None, True, [b"b"])
    assert thing.f(2, k=3) == 5
    np.testing.assert_array_equal(thing.f(np.arange(3)), [1, 2, 3])
    assert type(thing).__name__ == "Proxy"


def test_exceptions_keep_their_type_message_and_lines(worker_of):
    """`except ValueError` works here as it would there, and the traceback names the student's line."""
    code = worker_of(
        "def f():\n    raise ValueError('no (2, 3)')\nclass Odd(KeyError): pass\ndef g(): raise Odd('k')\n"
    ).module("code")
    with pytest.raises(ValueError, match=r"no \(2, 3\)") as caught:
        code.f()
    assert isinstance(caught.value, RemoteError)
    assert (caught.value.frames[-1].file, caught.value.frames[-1].line) == ("m/tinytorch/code.py", 2)
    with pytest.raises(KeyError) as odd:
        code.g()
    assert odd.value.remote_type == "Odd"


def test_a_plain_value_in_an_objects_place_is_the_students_error(worker_of):
    """A missing attribute or one that is not a function fails in the worker, where errors are the student's."""
    worker = worker_of("class A:\n    x = 3\n    def f(self, n, *, k=1): return n + k\ndef none(): pass\n")
    code = worker.module("code")
    assert worker.call(code.A(), "f", 2, k=3) == 5
    for thing, name, said in ((code.none(), "backward", "no attribute 'backward'"), (code.A(), "x", "not callable")):
        with pytest.raises(RemoteError, match=said):
            worker.call(thing, name)


def test_a_liar_decides_nothing(worker_of):
    """A comparison with a student's object is never true or false here."""
    liar = worker_of(LYING).module("code").liar()
    for claim in (liar == 2, liar != 2, liar.shape == (2, 3), liar):
        with pytest.raises(TypeError, match="plain value"):
            bool(claim)
    with pytest.raises(TypeError):
        np.asarray(liar)


def test_a_subclass_of_a_plain_type_stays_there(worker_of):
    """A float whose equality lies does not cross as a float."""
    number = worker_of(LYING).module("code").number()
    assert type(number).__name__ == "Proxy"


def test_callbacks_may_ask_for_more(worker_of):
    """While student code reports progress, the grader can read what it has so far."""
    source = """
class Net:
    w = 0
    def train(self, progress):
        for i in range(3):
            self.w += 1
            progress(i, total=3)
        return 'done'
"""
    net = worker_of(source).module("code").Net()
    seen = []
    assert net.train(progress=lambda i, total: seen.append((i, total, net.w))) == "done"
    assert seen == [(0, 3, 1), (1, 3, 2), (2, 3, 3)]


def test_a_folder_is_the_workers_own(worker_of):
    """A worker gives new, empty folders; its code and its tests read and write files there."""
    worker = worker_of("def f(path):\n    return path.read_bytes()[::-1]\n")
    folder, other = (worker.request("folder") for _ in range(2))
    (folder / "a.bin").write_bytes(b"\x00\x01")
    assert worker.module("code").f(folder / "a.bin") == b"\x01\x00"
    assert [path.name for path in folder.iterdir()] == ["a.bin"]
    assert list(other.iterdir()) == []


def test_an_endless_loop_ends_at_the_deadline(worker_of):
    """The worker is stopped; the next request says so at once."""
    worker = worker_of("def f():\n    while True: pass\n", call_seconds=0.3)
    code = worker.module("code")
    started = time.monotonic()
    with pytest.raises(DeadlineError, match="endless loop"):
        code.f()
    with pytest.raises(DeadlineError):
        code.f()
    assert time.monotonic() - started < 20


def test_a_file_that_is_never_loaded_is_named(worker_of):
    """An endless loop outside functions is not that of the function a test is about to call."""
    with pytest.raises(DeadlineError, match=r"^tinytorch\.code was not loaded: .* endless loop") as caught:
        worker_of("while True: pass\n", call_seconds=0.3).module("code")
    assert [(frame.line, frame.text) for frame in caught.value.frames] == [(1, "while True: pass")]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("while True: pass", 4),
        ("while True:\n        try: 1 / 0\n        except BaseException: pass", (4, 5, 6)),
        ("for _ in range(99): a = np.ones((3000, 3000)) @ np.ones((3000, 3000))", 4),
    ],
)
def test_the_line_of_an_endless_loop_is_reported(worker_of, body, line):
    """Whether the loop catches every error or is inside a compiled product, and from the outermost call inwards."""
    worker = worker_of(f"import numpy as np\n\ndef f():\n    {body}\ndef g():\n    f()\n", call_seconds=0.3)
    with pytest.raises(DeadlineError, match="endless loop") as caught:
        worker.module("code").g()
    outer, inner = caught.value.frames
    assert (outer.file, outer.function, outer.text) == ("m/tinytorch/code.py", "g", "f()")
    assert inner.function == "f"
    assert inner.line == line or inner.line in line


LINE = '  File "/m/tinytorch/code.py", line {} in {}\n'


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        (None, []),
        ('  File "/etc/passwd", line 1 in x\n' + LINE.format(999, "x"), []),
        (LINE.format(2, "::error::\x1b[31m"), [(2, ": :error::")]),
        (LINE.format(1, "x") * 100, [(1, "x")] * 20),
    ],
    ids=["silent", "elsewhere", "escapes", "endless"],
)
def test_a_false_report_of_the_running_line_changes_nothing_else(worker_of, monkeypatch, text, frames):
    """A worker may say nothing, name other lines or never stop. It ends, and lines that do not exist are dropped."""
    source = f"""import gc, os, signal, socket
pipe = next(thing for thing in gc.get_objects() if isinstance(thing, socket.socket))
text = {text!r}
def write(*_):
    while True: os.write(pipe.fileno(), text.encode())
signal.signal(signal.SIGUSR1, write if text else signal.SIG_IGN)
def f():
    while True: pass
"""
    if text is None:
        monkeypatch.setattr(launch, "TRACEBACK_SECONDS", 0.3)
    code = worker_of(source, call_seconds=0.6).module("code")
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"^no answer within 1 s .* an endless loop\?$") as caught:
        code.f()
    told = [(frame.line, frame.function) for frame in caught.value.frames]
    assert told == (frames * 20)[: len(told)]
    assert bool(told) == bool(frames)
    assert time.monotonic() - started < 20


def test_who_reports_until_the_deadline_is_told_how_long_there_was(worker_of, monkeypatch):
    """The patience is the whole call's, and not what was left of it after the last report."""
    monkeypatch.setattr(limits, "LEAST_WALL", 2.0)
    monkeypatch.setattr(limits, "WALL_FACTOR", 2.0)
    worker = worker_of(
        "import time\n\ndef train(progress):\n    while True:\n        time.sleep(0.1)\n        progress()\n",
        call_seconds=1,
    )
    told = []
    with pytest.raises(DeadlineError, match=r"within 2 s of wall time, .* is it sleeping"):
        worker.module("code").train(lambda: told.append(1))
    assert told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(0)", r"ended the program \(exit code 0\)"),
        ("os.kill(os.getpid(), 11)", "crashed Python"),
        ("os.kill(os.getpid(), 9)", "stopped by the system"),
        ("os.close(int(sys.argv[1])); time.sleep(9)", "pipe"),
    ],
)
def test_an_early_end_is_no_answer(worker_of, body, words):
    """Exit codes are read by nobody: no answer is a failure."""
    code = worker_of(f"import os, sys, time\ndef f():\n    {body}\n").module("code")
    with pytest.raises(WorkerDiedError, match=words):
        code.f()


def test_system_exit_is_an_exception_like_others(worker_of):
    """`sys.exit(0)` in student code is neither the worker's end nor a success."""
    code = worker_of("import sys\ndef f(): sys.exit(0)\n").module("code")
    with pytest.raises(RemoteError) as caught:
        code.f()
    assert caught.value.remote_type == "SystemExit"


@pytest.mark.parametrize(
    "forged",
    [
        "b'\\x00\\x00\\x00\\x01\\xc1'",
        "b'\\xff\\xff\\xff\\xff'",
        "frame(['value', 99999, True])",
        "frame(['value'])",
        "frame('value')",
        "frame(['event', 5, [], {}])",
        "frame(['event', [], [], {}])",
        "frame(['raised', 3, 1, 2, 3, 4])",
        "frame(['raised', 3, 'E', [], 'm', [['f', 'not a line', 'g', 't']]])",
        "frame({'a': 1})",
        "frame([['value'], 3, 1])",
        "frame(['raised', 3, 'E', [], 'm', [['f', -1, 'g', 't']]])",
        "sized((1 << 30).to_bytes(4, 'big') + b'\\x90')",
        "sized(sized(b'\\x93\\xa5value\\x03\\xdd\\x00\\x60\\x00\\x00' + b'\\x90' * 0x600000))",
    ],
)
def test_a_forged_reply_ends_the_worker(worker_of, forged):
    """Messages that are out of order or malformed are not answers."""
    source = (
        "import msgpack, os, sys, time\n"
        "def sized(b): return len(b).to_bytes(4, 'big') + b\n"
        "def frame(v): return sized(sized(msgpack.packb(v)))\n"
        f"def f():\n    os.write(int(sys.argv[1]), {forged})\n    time.sleep(2)\n    return 1\n"
    )
    code = worker_of(source, call_seconds=1).module("code")
    with pytest.raises((ProtocolError, DeadlineError)):
        code.f()
    with pytest.raises(WorkerFailureError):
        code.f()


def test_endless_progress_ends(worker_of):
    """Reporting progress for ever is not an answer either."""
    worker = worker_of("def f(progress):\n    while True: progress(1)\n", call_seconds=20)
    with pytest.raises(WorkerFailureError):
        worker.module("code").f(lambda _n: None)


def test_a_reply_larger_than_the_cap_is_the_students_error(worker_of):
    """The worker says so itself, and lives on."""
    worker = worker_of("import numpy as np\ndef f(): return np.zeros(40 << 20, dtype='float64')\ndef g(): return 1\n")
    code = worker.module("code")
    with pytest.raises((ValueError, MemoryError, RemoteError)):
        code.f()
    assert code.g() == 1


@pytest.mark.parametrize("result", ["np.zeros(12 << 20, 'uint8')", "[[]] * 400_000"], ids=["arrays", "lists"])
def test_all_answers_together_have_an_end(worker_of, result):
    """Each answer is small enough; their sum ends the worker before it fills the grader's memory."""
    worker = worker_of(f"import numpy as np\ndef f(): return {result}\n")
    code = worker.module("code")
    assert worker.memory > MAX_MEMORY - (1 << 20)
    worker.memory //= 3  # a million lists take seconds
    with pytest.raises(ProtocolError, match="more memory than correct code ever needs"):
        assert all(code.f() is not None for _ in range(10))


@pytest.mark.parametrize("value", ["np.zeros(3)", "[1.0]", "object()", "'x' * 1000"])
def test_a_report_holds_numbers_and_short_texts_alone(worker_of, value):
    """Student code gets an error if it reports anything else, and the worker continues."""
    source = f"import numpy as np\ndef f(progress): progress(1, np.float32(2), loss={value})\ndef g(): return 1\n"
    code = worker_of(source).module("code")
    with pytest.raises(TypeError, match="only numbers and short strings can be reported") as caught:
        code.f(lambda *_, **__: pytest.fail("nothing is reported"))
    assert caught.value.frames[-1].line == 2
    assert code.g() == 1


@pytest.mark.parametrize("values", ["[[1, 2]]", "['x' * 1000]", "[1] * 100"])
def test_a_report_that_is_forged_holds_no_more(worker_of, values):
    """Past the worker's own check, anything else ends it."""
    source = (
        "import msgpack, os, sys, time\n"
        "def sized(b): return len(b).to_bytes(4, 'big') + b\n"
        "def f(progress):\n"
        f"    os.write(int(sys.argv[1]), sized(sized(msgpack.packb(['event', 0, {values}, {{}}]))))\n"
        "    time.sleep(2)\n"
    )
    with pytest.raises(ProtocolError, match="report"):
        worker_of(source).module("code").f(lambda *_: pytest.fail("nothing is reported"))


def test_what_was_printed_before_the_end_is_kept(worker_of):
    """A print needs no flush, and is there though the worker was killed."""
    worker = worker_of("def speak():\n    print('looking at', 42)\n    while True:\n        pass\n", call_seconds=0.5)
    with pytest.raises(DeadlineError):
        worker.module("code").speak()
    assert worker.output == "looking at 42\n"


def test_output_is_kept_apart_and_capped(worker_of):
    """Printing floods nothing: the beginning and the end are kept."""
    worker = worker_of(
        "def f():\n    print('first'); [print('x' * 1000) for _ in range(5000)]; print('last', flush=True)\n"
    )
    worker.module("code").f()
    worker.close()
    assert worker.output.startswith("first")
    assert worker.output.rstrip().endswith("last")
    assert len(worker.output) < 350_000


CONTEXT = """
import numpy as np
class Box: pass
class Block:
    seen = "nothing"
    def __enter__(self): return 7
    def __exit__(self, kind, error, traceback):
        self.seen = f"{kind.__name__}: {error}" if kind else "its end"
        return True
def box():
    box = Box()
    box.array = np.zeros(3)
    box.given = lambda: {"array": box.array, "n": 1}
    return box
"""


def test_a_with_block_is_entered_and_left_over_there(worker_of):
    """`with proxy:` enters and leaves it in the worker, and an error in the block is raised on, whatever it says."""
    block = worker_of(CONTEXT).module("code").Block()
    with block as given:
        assert given == 7
    assert block.seen == "its end"
    with pytest.raises(KeyError, match="lost"), block:
        raise KeyError("lost")
    assert block.seen == "RuntimeError: 'lost'"


def test_a_held_attribute_is_the_thing_itself(worker_of):
    """A value written into a held array is in the student's own array; a pulled array would be a copy."""
    worker = worker_of(CONTEXT)
    box = worker.module("code").box()
    box.array[0] = 5
    assert box.array.tolist() == [0, 0, 0]
    worker.request("hold", box, "array")[0] = 5
    assert box.array.tolist() == [5, 0, 0]


def test_a_held_result_is_the_thing_itself(worker_of):
    """What a call returns stays in the worker, plain as it is, and shows what becomes of it there."""
    worker = worker_of(CONTEXT)
    box = worker.module("code").box()
    held = worker.request("hold_result", box.given, ())
    worker.request("hold", box, "array")[0] = 5
    assert held["array"].tolist() == [5, 0, 0]
    assert held["n"] == 1
    held["n"] = 9
    assert held["n"] == 9


def test_a_weak_reference_sees_an_attribute_go(worker_of):
    """The worker tells whether an array is still there, and keeps none alive itself."""
    worker = worker_of(CONTEXT)
    box = worker.module("code").box()
    there = worker.request("weakref", box, "array")
    assert there() is not None
    box.array = None
    assert there() is None


def count_in_a_thread(start):
    """Count in a thread of the worker, as a function that a test defines there."""
    import threading

    seen = []
    thread = threading.Thread(target=lambda: seen.append(start + 1))
    thread.start()
    thread.join(20)
    return seen


def test_a_tests_own_function_runs_in_the_worker(worker_of):
    """It is defined there from its source, and may start threads, which a callback into the grader may not use."""
    worker = worker_of(CONTEXT)
    students = WorkerPool(lambda: worker, wall_seconds=60)
    count = students.student().define(count_in_a_thread)
    assert type(count) is Proxy
    assert count(4) == [5]


def test_a_report_with_names_that_are_none_ends_the_worker(worker_of):
    """Keyword arguments are named by texts; anything else is a forgery."""
    source = (
        "import os, sys, time\n"
        "def sized(b): return len(b).to_bytes(4, 'big') + b\n"
        "def f(progress):\n"
        "    os.write(int(sys.argv[1]), sized(sized(b'\\x94\\xa5event\\x00\\x90\\x81\\xc4\\x01a\\x01')))\n"
        "    time.sleep(2)\n"
    )
    with pytest.raises(ProtocolError, match="wrong form"):
        worker_of(source).module("code").f(lambda **_named: None)


def test_an_exception_is_told_in_bounded_texts_and_places_of_the_submission(worker_of):
    """A forged traceback leads nowhere else, and long names are cut."""
    code = "m/tinytorch/code.py"
    outside = (
        f"['../../etc/passwd', 1, 'f'], ['/etc/passwd', 1, 'f'], ['grading/grade.py', 1, 'f'], ['{code}', 99, 'f']"
    )
    frames = f"[{outside}, ['{code}', 0, 'f'], ['{code}', 2, 'f\\n' + 'g' * 9000]]"
    source = (
        "import msgpack, os, sys, time\n"
        "def sized(b): return len(b).to_bytes(4, 'big') + b\n"
        "def f():\n"
        f"    told = ['raised', 2, 'E' * 9000, ['E'], 'm' * 90000, {frames}]\n"
        "    os.write(int(sys.argv[1]), sized(sized(msgpack.packb(told))))\n"
        "    time.sleep(2)\n"
    )
    worker = worker_of(source)
    function = worker.module("code").f  # requests 1 and 2; the call is number 3
    with pytest.raises((RemoteError, ProtocolError)):
        function()
    worker = worker_of(source.replace("'raised', 2", "'raised', 3"))
    with pytest.raises(RemoteError) as caught:
        worker.module("code").f()
    (frame,) = caught.value.frames
    assert (frame.file, frame.line, frame.text) == (code, 2, "def sized(b): return len(b).to_bytes(4, 'big') + b")
    assert frame.function.startswith("f ggg")
    assert max(map(len, (frame.function, caught.value.remote_type))) <= 200
    assert len(caught.value.message) <= 4000


def test_many_answers_in_time_are_late_together(worker_of):
    """A worker has so long in all, however short each call is."""
    worker = worker_of("import time\ndef f(): time.sleep(0.2)\n")
    code = worker.module("code")
    code.f()
    worker._wall_seconds, worker._next_total = 0.01, 0.0
    with pytest.raises(DeadlineError, match="0 s of CPU time in total"):
        code.f()
