"""Run a command so that it ends with its own exit code, or with a code for the kind of error that occurred."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable

from grading.errors import GraderError, Interrupted, UsageError
from grading.render.commands import glue_commands, unglue_commands
from grading.render.text import clean_text

NOT_YOURS = "The grader could not do its work. This says nothing about your code."
LONGEST = 8000
WIDEST = 100
"""The width, in columns, to which messages on a terminal are wrapped."""
INTERRUPTED = 130
POSIX_ONLY = ("fcntl", "resource")
"""Modules that confine student code and lock files. Python has them only on Linux and macOS."""
WINDOWS = (
    "TinyTorch runs on Linux and macOS, and on Windows in WSL: this Python has no module `{name}`. "
    "Run `wsl --install` in PowerShell, restart, open Ubuntu and continue there. README.md lists the steps."
)


def run_and_get_exit_code(
    command: Callable[[], object],
    *,
    interrupted: str = "Interrupted. Nothing was recorded.",
    preface: str = NOT_YOURS + "\n",
    advice: str = "",
) -> int:
    """Run a command. Return its own exit code (0 for None), 2 for wrong usage, 3 for failures, or 130 if interrupted.

    An exception never leads to 1, which would mean the student's "not yet". Expected errors are shown as sentences, and
    other errors with their traceback. ``preface`` comes before a grader error, and ``advice`` follows a system error.
    """
    replace_unprintable_characters()
    if (reason := explain_unsupported_platform()) is not None:
        return _print_error(reason, 3)
    try:
        code = command()
        if code == INTERRUPTED:  # Typer converts Ctrl-C into this code without a message
            raise KeyboardInterrupt
        sys.stdout.flush()
    except UsageError as error:
        return _print_error(str(error), 2)
    except GraderError as error:
        return _print_error(f"{preface}{error}", 3)
    except Interrupted as error:
        return _print_error(str(error), INTERRUPTED)
    except (KeyboardInterrupt, EOFError):
        return _print_error(interrupted, INTERRUPTED)
    except SystemExit as ended:  # Rich and the parser exit with 1 if the reader of a pipe has exited
        return ended.code if isinstance(ended.code, int) and ended.code != 1 else 3
    except OSError as error:
        what = error.filename or "A file or stream"
        return _print_error(f"{what} cannot be used: {error.strerror or error}. {advice}".rstrip(), 3)
    except Exception as error:
        # Importing the parser would slow every command down, so its exceptions are recognised by their attributes.
        if type(error).__name__ == "Abort":
            return _print_error(interrupted, INTERRUPTED)
        show = getattr(error, "show", None)
        if callable(show) and isinstance(getattr(error, "exit_code", None), int):
            show()
            return 2
        return _print_error(f"{traceback.format_exc()}\n{preface}Please report the lines above.", 3)
    return code if isinstance(code, int) else 0


def explain_unsupported_platform() -> str | None:
    """Explain why the course cannot run on this system and what to do about it. Return None if the course can run."""
    for name in POSIX_ONLY:
        try:
            importlib.import_module(name)
        except ImportError:
            return WINDOWS.format(name=name)
    return None


def replace_unprintable_characters() -> None:
    """Make standard output and error print "?" for each character that they cannot show, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _print_error(message: str, code: int) -> int:
    """Print a message on standard error and return the exit code."""
    _discard_unwritable_output()
    with contextlib.suppress(OSError):  # the reader may have exited
        print(_wrap_for_terminal(clean_text(message, LONGEST)), file=sys.stderr, flush=True)
    return code


def _wrap_for_terminal(message: str) -> str:
    """Wrap a message between words if standard error is a terminal. Indented lines stay as they are."""
    is_terminal = getattr(sys.stderr, "isatty", None)  # `sys.stderr` is None if there is no standard error
    if is_terminal is None or not is_terminal():
        return message
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return "\n".join(
        line
        if line.startswith((" ", "\t"))
        else unglue_commands(textwrap.fill(glue_commands(line), width, break_long_words=False, break_on_hyphens=False))
        for line in message.split("\n")
    )


def _discard_unwritable_output() -> None:
    """Flush standard output. If that fails, redirect it to /dev/null, so that the exit code stays the same."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
