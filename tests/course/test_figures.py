"""The lessons' pictures match the code, have alt text, and are readable in light and dark mode."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from course.checks.course_tree import CourseTree
from course.checks.picture_checks import check_pictures_are_current
from course.figures import records
from course.figures.canvas import DARK, LIGHT, Figure, draw_line, render_svg
from course.figures.charts import Chart, Scale, draw_curve
from course.figures.gallery import is_picture_current, run_picture_measurement, write_changed_figures
from course.release import build_release_files, write_release
from grading.errors import UsageError
from grading.lock import find_changed_course_files
from grading.manifest.loader import load_manifest_strictly
from grading.render.progress_watch import SilentWatch

from .conftest import CODE, LESSON

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M1 2.5L3 4"/><text>0.37</text></svg>\n'


def test_the_lessons_pictures_are_what_the_code_draws_now(root: Path) -> None:
    """Each module has at least two pictures, all with a caption and alt text."""
    course = CourseTree(root, load_manifest_strictly(root))
    assert check_pictures_are_current(course, SilentWatch()) == []
    pictures = [len(list((root / module.folder / "figures").glob("*.svg"))) for module in course.built_modules]
    assert min(pictures) >= 2


@pytest.mark.parametrize(
    ("old", "current"),
    [
        (SVG, True),
        (SVG.replace("2.5", "2.6"), True),
        (SVG.replace("2.5", "2.7"), False),
        (SVG.replace("0.37", "0.38"), True),
        (SVG.replace("0.37", "0.39"), False),
        (SVG.replace("L3 4", "L3 4L5 6"), False),
        (SVG.replace("path", "line"), False),
    ],
)
def test_a_picture_is_stale_when_more_than_a_last_place_differs(tmp_path: Path, old: str, current: bool) -> None:
    """A different processor may round a coordinate the other way; any larger difference makes a picture stale."""
    (tmp_path / "a.svg").write_text(old)
    assert is_picture_current(tmp_path / "a.svg", SVG) is current
    assert not is_picture_current(tmp_path / "none.svg", SVG)


def test_a_stale_picture_is_named_and_drawn_again(course: CourseTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check states which picture is stale and how to draw it; the lesson must then show it."""
    drawn = {"side.svg": render_svg(Figure("A side", 40, [draw_line(0, 0, 9, 9)]))}
    monkeypatch.setattr("course.checks.picture_checks.draw_module", lambda _: drawn)
    monkeypatch.setattr("course.figures.gallery.draw_module", lambda _: drawn)
    said = [str(problem) for problem in check_pictures_are_current(course, SilentWatch())]
    assert "modules/01_shapes/figures/side.svg:1" in said[0]
    assert "inv figures" in said[0]
    assert "does not show figures/side.svg" in said[1]
    assert [path.name for path in write_changed_figures(course.root, ["01_shapes"])] == ["side.svg"]
    assert write_changed_figures(course.root, ["01_shapes"]) == []
    lesson = course.root / LESSON
    lesson.write_text(lesson.read_text() + "\n![A side of a square, drawn](figures/side.svg)\\\n*It is\nstraight.*\n")
    assert check_pictures_are_current(CourseTree(course.root, course.manifest), SilentWatch()) == []


def test_a_measurement_of_other_code_is_named(
    course: CourseTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measurement is stale once the solution's code has changed; comments and docstrings do not count."""
    monkeypatch.setattr(records, "RECORDS_FILE", tmp_path / "records.json")
    monkeypatch.setattr(records, "MODULES_FOLDER", course.root / "modules")
    code = course.root / CODE
    records.write_record("areas", "of three squares", {"areas": [1, 4, 9]}, ["01_shapes/tinytorch/shapes.py"])
    assert records.read_record("areas") == {"areas": [1, 4, 9]}
    code.write_text("# A comment.\n" + code.read_text().replace('"""', '"""Really: ', 1))
    assert check_pictures_are_current(course, SilentWatch()) == []
    code.write_text(code.read_text() + "\nSIDES = 4\n")
    (problem,) = check_pictures_are_current(course, SilentWatch())
    assert "areas was measured with a different version of modules/01_shapes/tinytorch/shapes.py" in str(problem)
    assert "inv figures --measure areas" in str(problem)


def test_a_measurement_that_does_not_exist_is_wrong_usage() -> None:
    """The error lists the measurements that exist."""
    with pytest.raises(UsageError, match=r"There is no measurement speeds\. There are: copying, digits"):
        run_picture_measurement("speeds")


def test_an_image_that_no_code_draws_is_named(course: CourseTree) -> None:
    """A picture that no code draws could never be found to be stale."""
    lesson = course.root / LESSON
    lesson.write_text(lesson.read_text() + "\n![A photograph of a square](figures/photo.svg)\n")
    problems = check_pictures_are_current(CourseTree(course.root, course.manifest), SilentWatch())
    assert ["figures/photo.svg, which no code draws" in str(problem) for problem in problems] == [True]


def test_a_release_carries_the_pictures(course: CourseTree, tmp_path: Path) -> None:
    """The pictures are part of the lesson: a student may change them, and no verdict depends on them."""
    lesson, picture = course.root / LESSON, LESSON.parent / "figures/side.svg"
    lesson.write_text(lesson.read_text() + "\n![A side of a square](figures/side.svg)\\\n*Straight.*\n")
    (course.root / picture).parent.mkdir()
    (course.root / picture).write_text(SVG)
    assert build_release_files(course.root)[picture] == SVG.encode()
    target = write_release(course.root, tmp_path / "student").target
    (target / picture).write_text("another")
    assert not find_changed_course_files(target)


def list_pictures(root: Path) -> list[Path]:
    """List the files of all lessons' pictures."""
    return sorted(root.glob("modules/*/figures/*.svg"))


def test_a_picture_is_sound_small_and_says_what_it_is(root: Path) -> None:
    """A picture is XML with a title, is smaller than 60 KB, has light and dark colours, and fetches nothing."""
    for path in list_pictures(root):
        text = path.read_text(encoding="utf-8")
        title = ET.fromstring(text).find("{http://www.w3.org/2000/svg}title")  # noqa: S314 - our own file
        assert title is not None, path
        assert title.text, path
        assert len(text.encode()) < 60 * 1024, path
        assert "prefers-color-scheme:dark" in text, path
        assert not re.search(r"href|url\(|@import|<script", text), path


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_lines_stand_out_from_the_paper(colours: dict[str, str]) -> None:
    """The contrast of ink and of each colour is at least 4.5 to 1, as WCAG requires for text."""

    def luminance(colour: str) -> float:
        """Compute a colour's relative luminance, from 0 to 1, as WCAG does."""
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper = luminance(colours["paper"])
    for name in ("ink", "quiet", "a", "b", "c", "d", "e"):
        low, high = sorted((paper, luminance(colours[name])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_a_curve_is_cut_off_where_it_leaves_its_chart() -> None:
    """The part of a curve above the chart is not drawn, and the line ends exactly at the edge."""
    chart = Chart(0, 0, 100, 100, Scale(0, 4), Scale(0, 1))
    assert draw_curve(chart, [0, 2, 4], [0.5, 1.5, 0.5], "line-a").count("<path") == 2
    assert 'd="M0 50L25 0"' in draw_curve(chart, [0, 2], [0.5, 1.5], "line-a")
    assert draw_curve(chart, [0, 2], [1.5, 2.5], "line-a") == ""
