"""Find the lines of student code in a traceback, for the worker and for the student's own pytest."""

import os
import traceback

MOST_CAUSES, MOST_FRAMES = 8, 12


def list_student_frames(error: BaseException, root: str) -> list[list]:
    """List the last frames, as [file relative to ``root``, line, function], on the path to the line that raised first.

    An exception that is caught and raised again hides that line. So `raise … from first` is followed to the origin of
    `first`. A plain `raise …` in an `except` is followed if `first` came from a function further down. A new error
    inside an `except` is not followed.
    """
    frames = _list_frames_below(error, root)
    seen = {id(error)}
    while len(seen) <= MOST_CAUSES:
        explicit = error.__cause__
        first = explicit if explicit is not None or error.__suppress_context__ else error.__context__
        if first is None or id(first) in seen:
            break
        seen.add(id(first))
        further = _list_frames_below(first, root)
        if explicit is None and not (len(further) > 1 and _comes_from_raise(error)):
            break
        frames = _join_caught_frames(frames, further)
        error = first
    return frames[-MOST_FRAMES:]


def _comes_from_raise(error: BaseException) -> bool:
    """Return whether the last source line of an exception's traceback begins with `raise`."""
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
    return bool(lines) and lines[-1].startswith("raise")


def _list_frames_below(error: BaseException, root: str) -> list[list]:
    """List an exception's own frames in files below ``root``. The location of a syntax error counts as a frame."""
    frames: list[list] = [[f.filename, f.lineno or 0, f.name] for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append([error.filename or "", error.lineno or 0, ""])
    below = root + os.sep
    return [[file[len(below) :], line, function] for file, line, function in frames if file.startswith(below)]


def _join_caught_frames(frames: list[list], further: list[list]) -> list[list]:
    """Join the frames up to the handler with those from the handler to the exception that it caught."""
    if not further:
        return frames
    caught_in = (further[0][0], further[0][2])
    ways = [place for place, (file, _, function) in enumerate(frames) if (file, function) == caught_in]
    return (frames[: ways[-1]] if ways else frames) + further
