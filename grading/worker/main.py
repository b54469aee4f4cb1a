"""The worker's loop: does to student objects what the grader asks, and answers with plain values or handles.

Started as ``python -I -S -B main.py SOCKET_FD CONFIG`` in a process of its own. It judges nothing: student code
shares this process and may change anything in it, so nothing here is trusted by the grader.
"""

import contextlib
import importlib
import importlib.util
import json
import operator
import os
import socket
import sys
import warnings
import weakref
from collections.abc import Callable

CONFIG = json.loads(sys.argv[2])
SOCK = socket.socket(fileno=int(sys.argv[1]))
SOCK.set_inheritable(False)
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120 - pathlib costs start-up time here
sys.path.extend(CONFIG["site"])  # plainly: no .pth file of the environment gets a say

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
    "arguments": lambda function: list(function.__code__.co_varnames),
}


def leave(thing: contextlib.AbstractContextManager, message: str | None) -> None:
    """End a `with` block over `thing`: as it should be, or with an error."""
    if message is None:
        type(thing).__exit__(thing, None, None, None)
    else:
        type(thing).__exit__(thing, RuntimeError, RuntimeError(message), None)


OPERATORS["exit"] = leave


class Worker:
    """The objects the grader has names for, and the verbs it may use on them."""

    def __init__(self, sock: socket.socket, root: str):
        self.sock, self.root = sock, root
        self.objects: dict[int, object] = {}
        self.last = 0
        self.resumed: list[object] = []

    def keep(self, value: object) -> tuple[int, list]:
        """A new handle for an object that stays here."""
        self.last += 1
        value = value.value if type(value) is Held else value
        self.objects[self.last] = value
        return wire.HANDLE, [self.last, type(value).__name__]

    def resolve(self, code: int, payload: int) -> object:
        """What a name in a request stands for."""
        return self.objects[payload] if code == wire.HANDLE else self.callback(payload)

    def callback(self, number: object) -> object:
        """A function here that calls the grader's; while the grader is in it, it may ask for more."""

        def call(*args: object, **kwargs: object) -> object:
            for value in (*args, *kwargs.values()):
                if not wire.is_reportable(value):
                    kind = type(value).__name__
                    raise TypeError(f"only numbers and short texts can be reported, not a {kind}; convert it first")
            self.say(["event", number, list(args), kwargs])
            self.serve()
            return self.resumed.pop()

        return call

    def say(self, message: list) -> None:
        """Send one message; what cannot cross stays here under a handle."""
        data = wire.encode(message, self.keep, max_plain=wire.MAX_REPLY_PLAIN)
        if len(data) > wire.MAX_REPLY:
            raise wire.WireError(f"a value of {len(data):,} bytes is larger than {wire.MAX_REPLY:,}")
        wire.send(self.sock, data)

    def serve(self) -> None:
        """Answer requests until the grader lets a callback go on, or ends."""
        while True:
            request = wire.decode(wire.receive(self.sock, max_bytes=1 << 31), self.resolve)
            number, dropped, verb, *arguments = request
            for handle in dropped:
                self.objects.pop(handle, None)
            if verb == "resume":
                self.resumed.append(arguments[0])
                return
            try:
                reply = ["value", number, getattr(self, f"do_{verb}")(*arguments)]
            except BaseException as error:  # student code may raise anything, SystemExit too
                reply = ["raised", number, *self.describe(error)]
            try:
                self.say(reply)
            except wire.WireError as error:
                self.say(["raised", number, *self.describe(error)])
            del request, arguments, reply  # nothing of a finished request is kept alive

    def describe(self, error: BaseException) -> tuple[str, list[str], str, list]:
        """An exception as plain values: its type and bases, its message, the student's lines of its traceback."""
        try:
            message = str(error)
        except Exception:  # a __str__ of the student's
            message = "(its message could not be made)"
        bases = [c.__name__ for c in type(error).__mro__]
        return type(error).__name__, bases, message[:4000], list_student_frames(error, self.root)

    # The verbs, simplest first.

    def do_get(self, thing: object, name: str) -> object:
        """An attribute."""
        return getattr(thing, name)

    def do_set(self, thing: object, name: str, value: object) -> None:
        """Set an attribute."""
        setattr(thing, name, value)

    def do_call(self, function: Callable, args: tuple, kwargs: dict) -> object:
        """Call something."""
        return function(*args, **kwargs)

    def do_operate(self, name: str, operands: tuple, kept: bool) -> object:
        """Apply an operator; a comparison's answer stays here, whatever it is."""
        value = OPERATORS[name](*operands)
        return Boxed(value) if kept and type(value) in PLAIN else value

    def do_module(self, name: str) -> object:
        """Import one module of the student's framework."""
        return importlib.import_module(name)

    def do_recipe(self, path: str) -> object:
        """Import a recipe.py by its place."""
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
        """A random generator on this side."""
        return np.random.default_rng(seed)

    def do_folder(self) -> object:
        """A new, empty folder on this side, where alone both student code and its tests can see files."""
        import pathlib  # here, so that starting a worker does not wait for them
        import tempfile

        return pathlib.Path(tempfile.mkdtemp())

    def do_hold(self, thing: object, name: str) -> object:
        """An attribute under a handle, also where it is plain: the thing itself, not a copy of it."""
        return Held(getattr(thing, name))

    def do_hold_result(self, function: Callable, args: tuple) -> object:
        """What a call returns, likewise."""
        return Held(function(*args))

    def do_weakref(self, thing: object, name: str) -> object:
        """A function that gives an attribute for as long as anything else needs it, then None."""
        return weakref.ref(getattr(thing, name))

    def do_define(self, source: str, name: str) -> object:
        """A function of a test's own, defined on this side."""
        names: dict[str, object] = {}
        exec(source, names)  # noqa: S102 - the grader's text, in the process that runs the student's
        return names[name]

    def do_echo(self, value: object) -> object:
        """The value itself: measures the pipe."""
        return value


class Held:
    """Wraps what goes out under a handle of its own, plain or not."""

    def __init__(self, value: object):
        self.value = value


class Boxed:
    """A plain value that goes out under a handle, wrapped for good."""

    def __init__(self, value: object):
        self.value = value


def main() -> None:
    """Say that it is ready, and serve."""
    root = CONFIG["submission"]
    sys.dont_write_bytecode = True
    warnings.simplefilter("error", RuntimeWarning)  # overflow and the like, as in the student's own pytest
    worker = Worker(SOCK, root)
    # What fails before this message is the machine's failure: nothing of the student's may be loaded until it is sent.
    worker.say(["ready", sys.version.split()[0], np.__version__])
    sys.path.extend(f"{root}/{folder}" for folder in CONFIG["folders"])  # last: none of its files hides another
    with contextlib.suppress(EOFError, ConnectionError):
        worker.serve()
    os._exit(0)  # student threads and atexit functions have nothing left to say


if __name__ == "__main__":
    main()
