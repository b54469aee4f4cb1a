"""A result as JUnit XML: one test case per criterion, for the viewers of CI services."""

from __future__ import annotations

import re
from datetime import UTC
from xml.etree import ElementTree as ET

from grading.render import figures, words
from grading.render.text import clean, labelled, one_line, quote
from grading.result import CriterionResult, CriterionStatus, Failure, Result

# Characters that XML 1.0 cannot hold, beyond those that `clean_text` removes.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(*results: Result) -> str:
    """Render the XML document, with declaration: one suite for each result, of which there is at least one."""
    root = ET.Element("testsuites", name=_line(results[0].course.name))
    for result in results:
        _suite(root, result)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, result: Result) -> None:
    """Add one result as a suite."""
    counts = {
        "tests": len(result.criteria),
        "failures": _count(result, CriterionStatus.FAILED),
        "errors": _count(result, CriterionStatus.ERROR),
        "skipped": _count(result, CriterionStatus.NOT_ATTEMPTED),
    }
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": _line(words.heading(result)), **{key: str(value) for key, value in counts.items()}},
        timestamp=f"{result.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        time=f"{result.timing.total:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result):
        ET.SubElement(properties, "property", name=name, value=_line(value))
    for criterion in result.criteria:
        _case(suite, result, criterion)
    if result.student_output:
        ET.SubElement(suite, "system-out").text = _text(quote(result.student_output, 10_000), 20_000)


def _count(result: Result, status: CriterionStatus) -> int:
    """Count the criteria with this status."""
    return sum(c.status is status for c in result.criteria)


def _properties(result: Result) -> list[tuple[str, str]]:
    """List the verdict, the data and what is needed to reproduce the result."""
    more = [("provisional_because", reason) for reason in result.provisional_because]
    more += [("data", f"{data.name}, digest {data.digest}") for data in result.data]
    return [
        ("verdict", result.verdict.value),
        *more,
        ("seed", str(result.seed)),
        ("official", str(result.official).lower()),
        ("sandbox", result.machine.sandbox),
        ("submission", result.submission.digest),
        ("reproduce", result.command),
    ]


def _case(suite: ET.Element, result: Result, criterion: CriterionResult) -> None:
    """Add one criterion as a test case."""
    what = f"module-{result.module}" if result.milestone is None else f"milestone-{result.milestone}"
    case = ET.SubElement(
        suite, "testcase", classname=_line(f"{what}.{criterion.kind.value}"), name=_line(criterion.title), time="0"
    )
    figure = f"measured {figures.measured(criterion)}, required {figures.threshold(criterion)}"
    match criterion.status:
        case CriterionStatus.FAILED:
            # Only one element: several viewers keep just the first, or reject more.
            element = ET.SubElement(case, "failure", type="criterion", message=_line(f"{figure}: {criterion.why}"))
            element.text = _text("\n\n".join(map(_failure, criterion.failures[:20])), 20_000)
        case CriterionStatus.ERROR:
            message = _line(criterion.explanation or "The grader or this machine failed, not the student's code.")
            ET.SubElement(case, "error", type="grader", message=message)
        case CriterionStatus.NOT_ATTEMPTED:
            ET.SubElement(case, "skipped", message=_line(criterion.explanation or "not attempted"))


def _failure(failure: Failure) -> str:
    """Format one failure as lines of text."""
    parts = [
        ("where", words.place(failure)),
        ("call", failure.call),
        ("got", failure.got),
        ("expected", failure.expected),
        ("hint", failure.hint),
        ("detail", failure.detail),
        ("try", words.fast_loop(failure)),
    ]
    return "\n".join([words.label(failure), *(labelled(f"  {name}: ", text, 1000) for name, text in parts if text)])


def _text(value: str, limit: int) -> str:
    """Clean text that may have several lines, for XML."""
    return _NOT_XML.sub("", clean(value, limit))


def _line(value: str) -> str:
    """Clean an attribute's value, which viewers show as one line."""
    return _NOT_XML.sub("", one_line(value, 2000))
