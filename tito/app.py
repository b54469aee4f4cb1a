"""The command `tito`: run one command line, end with its exit code, and with plain words instead of tracebacks."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from grading.errors import GraderError, UsageError
from grading.render.text import clean
from tito.console import errors


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    try:
        code = _dispatch(tuple(arguments))
    except UsageError as error:
        return _say(str(error), 2)
    except GraderError as error:
        return _say(f"The grader could not do its work; this says nothing about your code.\n{error}", 3)
    except (KeyboardInterrupt, EOFError):
        return _say("Interrupted; nothing is lost.", 130)
    except Exception as error:
        # Told by their traits: importing the classes would import what the quick commands do without.
        if type(error).__name__ == "ManifestError":
            return _say(str(error), 2)
        if type(error).__name__ == "Abort":
            return _say("Interrupted; nothing is lost.", 130)
        if isinstance(error, OSError):
            return _say(f"{type(error).__name__}: {error}\n`tito doctor` may tell what is wrong here.", 3)
        show, exit_code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if callable(show) and isinstance(exit_code, int):  # the parser's own
            show()
            return exit_code
        raise
    return code if isinstance(code, int) else 0


def _dispatch(arguments: tuple[str, ...]) -> int | None:
    if arguments[:2] == ("milestone", "status") and arguments[2:] in ((), ("--json",)):
        # The command typed most answers at once: building the command line alone takes longer than it may.
        from tito.status import show_status

        return show_status(as_json=bool(arguments[2:]))
    from tito.commands import app

    if arguments in ((), ("module",), ("milestone",)):
        arguments += ("--help",)  # what these mean: no mistake, so no exit code of one
    return app(args=list(arguments), prog_name="tito", standalone_mode=False)


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a sign shows a question mark, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def _say(message: str, code: int) -> int:
    errors().print(clean(message, 8000), soft_wrap=True)
    return code
