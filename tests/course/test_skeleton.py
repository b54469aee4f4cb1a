"""Markers are parsed strictly, and the gaps that replace solutions are readable."""

from __future__ import annotations

import ast
import subprocess
import textwrap

import pytest

from course.skeleton import LINE_LENGTH, SkeletonError, find_gaps, make_partial_skeleton, make_skeleton, make_solution
from grading.manifest.model import Task

from .conftest import CODE


def write_function(body: str) -> str:
    """Return the source of a function with this body."""
    return "def square(side):\n" + textwrap.indent(textwrap.dedent(body), "    ")


def test_a_block_becomes_a_gap_that_gives_the_hint(whole):
    """Docstrings and given code are kept, and each block becomes one line that names its task and its function."""
    text = make_skeleton(whole.read_text(CODE), whole.manifest, CODE)
    assert "SOLUTION" not in text
    assert '\n    raise NotImplementedError("Task 1.1: write `square`. Multiply the side by itself.")\n' in text
    assert "self.width, self.height = width, height\n" in text
    assert '\n        raise NotImplementedError("Task 1.2: write `Rectangle.area`. Multiply' in text
    assert "return side * side" not in text


def test_each_gap_of_a_task_names_its_own_function(whole):
    """The first gap has the task's hint, the next ones say what their docstring promises, if they have any."""
    source = """
class Box:
    def __init__(self, side):
        # BEGIN SOLUTION 1.1
        self.side = side
        # END SOLUTION

    def area(self):
        \"\"\"Return the area: side 3 → 9.

        Nothing else.
        \"\"\"
        # BEGIN SOLUTION 1.1
        return self.side**2
        # END SOLUTION

    def __len__(self):
        # BEGIN SOLUTION 1.1
        return 4
        # END SOLUTION
"""
    gaps = [
        node.exc.args[0].value
        for node in ast.walk(ast.parse(make_skeleton(source, whole.manifest, CODE)))
        if isinstance(node, ast.Raise)
    ]
    assert gaps == [
        "Task 1.1: write `Box.__init__`. Multiply the side by itself.",
        "Task 1.1: write `Box.area`. Return the area: side 3 → 9.",
        "Task 1.1: write `Box.__len__`. Multiply the side by itself.",
    ]


def test_one_task_is_opened_and_the_others_stay_solved(whole):
    """With task 1.2 open, the square still works and no marker is left."""
    text = make_partial_skeleton(whole.read_text(CODE), whole.manifest, CODE, "1.2")
    assert "return side * side" in text
    assert "Task 1.2: " in text
    assert "Task 1.1: " not in text
    assert "SOLUTION" not in text


def test_a_solved_file_is_the_source_without_its_markers(whole):
    """Only marker lines are removed."""
    source = whole.read_text(CODE)
    assert make_solution(source, whole.manifest, CODE).splitlines() == [
        x for x in source.splitlines() if "SOLUTION" not in x
    ]


@pytest.mark.parametrize(
    "hint",
    [
        "Short.",
        "A long hint with many words " * 20,
        'Says "yes" and "no" ' * 12,
        "It's the reader's, isn't it? " * 10,
        'Both "quotes" and it\'s ' * 12,
        "A back\\slash and {braces} and %s " * 8,
        "x" * 90 + " " + "y" * 90,
    ],
)
def test_any_hint_becomes_tidy_python(whole, hint, tmp_path):
    """The hint is read back word for word, lines keep to the limit, and a formatter changes nothing."""
    task = Task.model_construct(id="1.1", title="A square", hints=(hint,))
    module = whole.manifest.modules[0].model_copy(update={"tasks": (task, whole.manifest.modules[0].tasks[1])})
    manifest = whole.manifest.model_copy(update={"modules": (module,)})
    text = make_skeleton(whole.read_text(CODE), manifest, CODE)
    first = ast.parse(text).body[1].body[1]
    assert first.exc.args[0].value == f"Task 1.1: write `square`. {' '.join(hint.split())}"
    assert max(map(len, text.splitlines())) <= LINE_LENGTH
    (tmp_path / "shapes.py").write_text(text)
    ruff = pytest.importorskip("ruff", reason="the formatter is not in this environment")
    command = [ruff.find_ruff_bin(), "format", "--isolated", "--line-length", str(LINE_LENGTH), "--diff", "shapes.py"]
    formatted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        (write_function("# BEGIN SOLUTION 1.1\nreturn 1\n"), 2, "has no end"),
        (write_function("return 1\n# END SOLUTION\n"), 3, "has no beginning"),
        (
            write_function("# BEGIN SOLUTION 1.1\n# BEGIN SOLUTION 1.2\nreturn 1\n# END SOLUTION\n"),
            3,
            "inside the block",
        ),
        (write_function("# BEGIN SOLUTION 1.3\nreturn 1\n# END SOLUTION\n"), 2, "not one of this module's"),
        (write_function("# BEGIN SOLUTION 2.1\nreturn 1\n# END SOLUTION\n"), 2, "not one of this module's"),
        (write_function("# BEGIN SOLUTION 1.1\na = 1\n# END SOLUTION\nreturn a\n"), 2, "continues"),
        (
            write_function("if side:\n    # BEGIN SOLUTION 1.1\n    return 1\n    # END SOLUTION\n"),
            3,
            "inside a statement",
        ),
        (write_function("a = 1\nif a:\n# BEGIN SOLUTION 1.1\n    return 1\n# END SOLUTION\n"), 4, "inside a statement"),
        (
            write_function("return 1\n# BEGIN SOLUTION 1.1\n# END SOLUTION\n"),
            3,
            "not in a function, or contains no code",
        ),
        ("# BEGIN SOLUTION 1.1\na = 1\n# END SOLUTION\n", 1, "not in a function"),
        (write_function("  # BEGIN SOLUTION 1.1\nreturn 1\n  # END SOLUTION\n"), 2, "not indented"),
        (write_function("# BEGIN SOLUTION 1.1\nreturn 1\n  # END SOLUTION\n"), 4, "not indented"),
        (write_function("# BEGIN SOLUTION\nreturn 1\n# END SOLUTION\n"), 2, "not one"),
        (write_function("# begin solution 1.1\nreturn 1\n"), 2, "not one"),
        (write_function("#BEGIN SOLUTION 1.1\nreturn 1\n# END SOLUTION\n"), 2, "not one"),
        (write_function("# BEGIN SOLUTION 1.1 now\nreturn 1\n# END SOLUTION\n"), 2, "not one"),
        ("def square(:\n", 1, "not Python"),
    ],
)
def test_wrong_markers_are_named_with_their_line(whole, source, line, says):
    """Each mistake is reported with file, line and how to fix it, and no skeleton is produced."""
    with pytest.raises(SkeletonError) as caught:
        make_skeleton(source, whole.manifest, CODE)
    first = caught.value.problems[0]
    assert (first.file, first.line) == (CODE.as_posix(), line)
    assert says in first.message
    assert first.repair


def test_given_code_may_come_before_a_block_and_inner_functions_may_hold_one(whole):
    """A block must be the rest of the innermost function around it."""
    source = write_function(
        "start = 1\ndef inner():\n    # BEGIN SOLUTION 1.1\n    return 1\n    # END SOLUTION\nreturn inner\n"
    )
    (gap,) = find_gaps(source, whole.manifest, CODE)
    assert (gap.task, gap.begin, gap.end, gap.indent) == ("1.1", 4, 6, 8)
    assert "return inner" in make_skeleton(source, whole.manifest, CODE)
