"""Exceptions of the student's side as the grader meets them: what student code raised, and how a worker ended."""

from __future__ import annotations

import builtins
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One line of student code in a traceback."""

    file: str
    line: int
    function: str
    text: str
    """The line itself, as the grader's own copy of the file has it."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function or '<file>'}: {self.text}"


class WorkerFailureError(Exception):
    """The worker did not answer as it should; the message is for the student."""


class WorkerDiedError(WorkerFailureError):
    """The process ended before it answered."""


class DeadlineError(WorkerFailureError):
    """The answer did not come in time; the worker was stopped."""


class ProtocolError(WorkerFailureError):
    """What came back was not an answer."""


class RemoteError(Exception):
    """Student code raised; subclasses are also the builtin exception it raised."""

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


def remote_error(type_name: str, bases: list[str], message: str, frames: tuple[Frame, ...]) -> RemoteError:
    """The exception to raise here for one raised there: `except ValueError` works on both sides."""
    kind = next((_CLASSES[name] for name in (type_name, *bases) if name in _CLASSES), RemoteError)
    return kind(type_name, message, frames)
