"""The worker's loop: carry out the grader's requests on student objects, and answer with plain values or handles.

It is started as ``python -I -S -B main.py SOCKET_FD CONFIG`` in a separate process. The worker judges nothing. Student
code runs in this process and may change anything in it, so the grader does not trust it.
"""

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import operator
import os
import signal
import socket
import sys
import warnings
import weakref
from collections.abc import Callable

CONFIG = json.loads(sys.argv[2])
SOCK = socket.socket(fileno=int(sys.argv[1]))
SOCK.set_inheritable(False)
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120 - pathlib costs start-up time here
sys.path.extend(CONFIG["site"])  # set directly, so that none of the environment's .pth files is read

from confine import confine  # noqa: E402

os.chdir(CONFIG["home"])
confine(CONFIG.pop("fence"))

import numpy as np  # noqa: E402
import wire  # noqa: E402
from frames import list_student_frames  # noqa: E402

del sys.path[0]

PLAIN = (type(None), bool, int, float, str, bytes, list, tuple, dict, np.ndarray)
OPERATORS = {
    name: getattr(operator, name)
    for name in "add sub mul truediv floordiv mod pow matmul neg pos abs getitem setitem eq ne lt le gt ge".split()
} | {
    "len": len,
    "list": list,
    "repr": repr,
    "enter": lambda thing: type(thing).__enter__(thing),
    "arguments": lambda function: list(function.__code__.co_varnames[: function.__code__.co_argcount]),
}


def exit_context(thing: contextlib.AbstractContextManager, message: str | None) -> None:
    """End a `with` block over ``thing`` by calling `__exit__`, with a RuntimeError if there is a message."""
    if message is None:
        type(thing).__exit__(thing, None, None, None)
    else:
        type(thing).__exit__(thing, RuntimeError, RuntimeError(message), None)


OPERATORS["exit"] = exit_context


class Worker:
    """The objects for which the grader has handles, and the requests that it may make."""

    def __init__(self, sock: socket.socket, root: str):
        self.sock, self.root = sock, root
        self.objects: dict[int, object] = {}
        self.last = 0
        self.resumed: list[object] = []

    def keep_object(self, value: object) -> tuple[int, list]:
        """Keep an object under a new handle, and return the reference: wire.HANDLE and [handle, name of its type]."""
        self.last += 1
        value = value.value if type(value) is HeldValue else value
        self.objects[self.last] = value
        return wire.HANDLE, [self.last, type(value).__name__]

    def resolve_reference(self, code: int, payload: int) -> object:
        """Return the object that has this handle, or else a function that calls this callback of the grader."""
        return self.objects[payload] if code == wire.HANDLE else self.make_callback(payload)

    def make_callback(self, number: object) -> object:
        """Make a function that calls the grader's function of this number and returns its answer.

        It raises TypeError for values other than numbers, None and short strings. During the call, the grader may send
        further requests.
        """

        def call(*args: object, **kwargs: object) -> object:
            """Report these values to the grader and return its answer."""
            for value in (*args, *kwargs.values()):
                if not wire.is_reportable(value):
                    kind = type(value).__name__
                    raise TypeError(f"only numbers and short strings can be reported, not a {kind}; convert it first")
            self.send_message(["event", number, list(args), kwargs])
            self.serve_requests()
            return self.resumed.pop()

        return call

    def send_message(self, message: list) -> None:
        """Send one message, with handles for objects that cannot be sent; raise WireError if it is too large."""
        data = wire.encode_value(message, self.keep_object, max_plain=wire.MAX_REPLY_PLAIN)
        if len(data) > wire.MAX_REPLY:
            raise wire.WireError(f"a value of {len(data):,} bytes is larger than {wire.MAX_REPLY:,}")
        wire.send_frame(self.sock, data)

    def serve_requests(self) -> None:
        """Answer requests until the grader resumes a callback; raise EOFError if it closes the pipe instead.

        The value with which it resumes is appended to `resumed`.
        """
        while True:
            request = wire.decode_value(wire.receive_frame(self.sock, max_bytes=1 << 31), self.resolve_reference)
            number, dropped, verb, *arguments = request
            for handle in dropped:
                self.objects.pop(handle, None)
            if verb == "resume":
                self.resumed.append(arguments[0])
                return
            try:
                reply = ["value", number, getattr(self, f"do_{verb}")(*arguments)]
            except BaseException as error:  # student code may raise anything, even SystemExit
                reply = ["raised", number, *self.describe_error(error)]
            try:
                self.send_message(reply)
            except wire.WireError as error:
                self.send_message(["raised", number, *self.describe_error(error)])
            del request, arguments, reply  # keep nothing of a finished request alive

    def describe_error(self, error: BaseException) -> tuple[str, list[str], str, list]:
        """Describe an exception as plain values: its type, bases, message and the student's lines in its traceback."""
        try:
            message = str(error)
        except Exception:  # a student's own __str__
            message = "(its message cannot be shown)"
        bases = [c.__name__ for c in type(error).__mro__]
        return type(error).__name__, bases, message[:4000], list_student_frames(error, self.root)

    # The verbs, simplest first.

    def do_get(self, thing: object, name: str) -> object:
        """Get an attribute."""
        return getattr(thing, name)

    def do_set(self, thing: object, name: str, value: object) -> None:
        """Set an attribute."""
        setattr(thing, name, value)

    def do_call(self, function: Callable, args: tuple, kwargs: dict) -> object:
        """Call a function or object."""
        return function(*args, **kwargs)

    def do_operate(self, name: str, operands: tuple, kept: bool) -> object:
        """Apply an operator. If ``kept``, as for comparisons, even a plain result only gets a handle."""
        value = OPERATORS[name](*operands)
        return BoxedValue(value) if kept and type(value) in PLAIN else value

    def do_module(self, name: str) -> object:
        """Import a module of the student's framework."""
        return importlib.import_module(name)

    def do_recipe(self, path: str) -> object:
        """Import a recipe.py once, by its path in the submission."""
        name = "recipe_" + path.split("/")[1]
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, os.path.join(self.root, path))  # noqa: PTH118
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
        return module

    def do_rng(self, seed: int) -> object:
        """Create a random number generator in the worker."""
        return np.random.default_rng(seed)

    def do_folder(self) -> object:
        """Create an empty folder in the worker. Only there do student code and its tests both see files."""
        import pathlib  # imported here, so that starting a worker does not wait for them
        import tempfile

        return pathlib.Path(tempfile.mkdtemp())

    def do_hold(self, thing: object, name: str) -> object:
        """Return an attribute under a handle, even if it is a plain value, to avoid copying it."""
        return HeldValue(getattr(thing, name))

    def do_hold_result(self, function: Callable, args: tuple) -> object:
        """Call a function and keep its result under a handle, even if it is a plain value."""
        return HeldValue(function(*args))

    def do_weakref(self, thing: object, name: str) -> object:
        """Create a weak reference to an attribute. Once nothing else keeps the attribute alive, it returns None."""
        return weakref.ref(getattr(thing, name))

    def do_define(self, source: str, name: str) -> object:
        """Define a test's own function in the worker from its source, and return it."""
        names: dict[str, object] = {}
        exec(source, names)  # noqa: S102 - the grader's text, in the process that runs the student's
        return names[name]

    def do_echo(self, value: object) -> object:
        """Return the value itself, to measure the speed of the pipe."""
        return value


class HeldValue:
    """A wrapper for a value that is sent under its own handle, whether it is plain or not."""

    def __init__(self, value: object):
        self.value = value


class BoxedValue:
    """A wrapper that permanently hides a plain value, so that only its handle is sent."""

    def __init__(self, value: object):
        self.value = value


def main() -> None:
    """Tell the grader that the worker is ready, answer its requests, and then end this process."""
    root = CONFIG["submission"]
    sys.dont_write_bytecode = True
    warnings.simplefilter("error", RuntimeWarning)  # such as overflow, as pytest does on the student's machine
    worker = Worker(SOCK, root)
    # Python's own handler writes the running lines even inside compiled code, and without any of Python's locks.
    faulthandler.register(signal.SIGUSR1, file=SOCK.fileno(), all_threads=False)
    # A failure before this message counts as the machine's, so no student code may be loaded before it is sent.
    worker.send_message(["ready", sys.version.split()[0], np.__version__])
    # The folders are last on the path, so that none of their files hides an installed one.
    sys.path.extend(f"{root}/{folder}" for folder in CONFIG["folders"])
    with contextlib.suppress(EOFError, ConnectionError):
        worker.serve_requests()
    os._exit(0)  # without running the student's threads or atexit functions


if __name__ == "__main__":
    main()
