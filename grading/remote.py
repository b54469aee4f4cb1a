"""Exceptions that the grader raises on a worker's behalf, for errors in student code and for failures of the worker."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One line of student code in a traceback."""

    file: str
    line: int
    function: str
    text: str
    """The line's text, from the grader's own copy of the file."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function or '<file>'}: {self.text}"


def choose_traceback_frame(
    frames: Sequence[Frame], folder: str | None = None, is_given: Callable[[Frame], bool] = lambda _: False
) -> Frame:
    """Choose the traceback line to look at first: the last one in ``folder``, or else the last one overall.

    An earlier module often raises an error because a later one called it with wrong arguments. ``folder`` belongs to
    the module being worked on and, by default, is the folder of the first frame. Lines that the course provides are
    chosen only if there are no others.
    """
    folder = folder or frames[0].file.rpartition("/")[0].removesuffix("/tinytorch")
    own = [frame for frame in frames if not is_given(frame)] or frames
    return next((frame for frame in reversed(own) if frame.file.startswith(f"{folder}/")), own[-1])


class WorkerFailureError(Exception):
    """The error raised if a worker did not answer properly. The message is meant for the student."""


class WorkerDiedError(WorkerFailureError):
    """The error raised if the process exited before it answered."""


class WorkerClosedError(WorkerDiedError):
    """The error raised if the grader itself stopped the process. Nothing went wrong."""


class DeadlineError(WorkerFailureError):
    """The error raised if the answer did not arrive in time. The worker has been stopped.

    ``frames`` are the lines that were running then, if the worker could still report them.
    """

    def __init__(self, message: str, frames: tuple[Frame, ...] = ()):
        super().__init__(message)
        self.frames = frames


class ProtocolError(WorkerFailureError):
    """The error raised if the worker's message was not a valid answer."""


class RemoteError(Exception):
    """The error raised if student code raised an exception.

    Subclasses also inherit from that exception's builtin class.
    """

    def __init__(self, remote_type: str, message: str, frames: tuple[Frame, ...]):
        super().__init__(message)
        self.remote_type, self.message, self.frames = remote_type, message, frames

    def __str__(self) -> str:
        return self.message


_NAMES = """ArithmeticError AssertionError AttributeError BufferError EOFError FileNotFoundError FloatingPointError
ImportError IndexError KeyError LookupError MemoryError ModuleNotFoundError NameError NotImplementedError OSError
OverflowError PermissionError RecursionError RuntimeError SyntaxError TimeoutError TypeError UnboundLocalError
UnicodeError ValueError ZeroDivisionError""".split()
_CLASSES: dict[str, type[RemoteError]] = {
    name: type(f"Remote{name}", (RemoteError, getattr(builtins, name)), {}) for name in _NAMES
}


def build_remote_error(type_name: str, bases: list[str], message: str, frames: tuple[Frame, ...]) -> RemoteError:
    """Build the grader's exception for one raised in the worker, so that `except ValueError` works."""
    kind = next((_CLASSES[name] for name in (type_name, *bases) if name in _CLASSES), RemoteError)
    return kind(type_name, message, frames)
