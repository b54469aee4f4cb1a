"""How every command of the course ends: with its own exit code, or with one that says whose the trouble is."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable

from grading.errors import GraderError, Interrupted, UsageError
from grading.render.text import clean

NOT_YOURS = "The grader could not do its work; this says nothing about your code."
LONGEST = 8000
INTERRUPTED = 130
POSIX_ONLY = ("fcntl", "resource")
"""What confines student code and locks files; Python has them on Linux and macOS."""
WINDOWS = (
    "TinyTorch runs on Linux and macOS, and on Windows in WSL: this Python has no module `{name}`. "
    "Type `wsl --install` in PowerShell, restart, open Ubuntu and go on there; README.md has the steps."
)


def run_command(
    command: Callable[[], object],
    *,
    interrupted: str = "Interrupted; nothing was recorded.",
    preface: str = NOT_YOURS + "\n",
    advice: str = "",
) -> int:
    """Run a command; its exit code: what it returns (None is 0), or 2 wrong usage, 3 any failure, 130 interrupted.

    Never 1 for an exception, which would read as the student's "not yet". Expected errors are sentences, others keep
    their traceback. `preface` comes before a failure of the grader's, `advice` follows one of a file or the system.
    """
    accept_any_text()
    if (reason := explain_platform()) is not None:
        return _say(reason, 3)
    try:
        code = command()
        if code == INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
        sys.stdout.flush()
    except UsageError as error:
        return _say(str(error), 2)
    except GraderError as error:
        return _say(f"{preface}{error}", 3)
    except Interrupted as error:
        return _say(str(error), INTERRUPTED)
    except (KeyboardInterrupt, EOFError):
        return _say(interrupted, INTERRUPTED)
    except SystemExit as ended:  # so Rich and the parser end, with 1, where nobody reads any more
        return ended.code if isinstance(ended.code, int) and ended.code != 1 else 3
    except OSError as error:
        what = error.filename or "A file or stream"
        return _say(f"{what} cannot be used: {error.strerror or error}. {advice}".rstrip(), 3)
    except Exception as error:
        # The parser's exceptions are recognised by their attributes: importing it would slow down every other command.
        if type(error).__name__ == "Abort":
            return _say(interrupted, INTERRUPTED)
        show = getattr(error, "show", None)
        if callable(show) and isinstance(getattr(error, "exit_code", None), int):
            show()
            return 2
        return _say(f"{traceback.format_exc()}\n{preface}Please report the lines above.", 3)
    return code if isinstance(code, int) else 0


def explain_platform() -> str | None:
    """Why the course cannot run on this system, and what to do about it; None where it can."""
    for name in POSIX_ONLY:
        try:
            importlib.import_module(name)
        except ImportError:
            return WINDOWS.format(name=name)
    return None


def accept_any_text() -> None:
    """Make a terminal or log that cannot show a sign show a question mark, and never end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _say(message: str, code: int) -> int:
    """Say how it ended on standard error; the exit code."""
    _forget_output()
    with contextlib.suppress(OSError):  # nobody may be reading
        print(clean(message, LONGEST), file=sys.stderr, flush=True)
    return code


def _forget_output() -> None:
    """Drop what standard output would not take: Python would try again at its end, and change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
