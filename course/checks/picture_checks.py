"""Check that every lesson shows its pictures with alt text, and that the code still draws the same pictures."""

from __future__ import annotations

from collections.abc import Iterator

from course.checks.course_tree import CourseTree
from course.figures import records
from course.figures.gallery import (
    FIGURES_FOLDER,
    MAX_PICTURE_BYTES,
    SHOWN_PICTURE,
    draw_module,
    is_picture_current,
    list_lesson_images,
)
from grading.manifest.model import Module
from grading.manifest.problems import Problem
from grading.render.progress_watch import ProgressWatch

MIN_ALT_LENGTH = 20
"""The length of the shortest useful alt text, in characters."""


def check_pictures_are_current(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """Each lesson's pictures match what the code draws from current measurements, with alt text and a caption."""
    watch.begin_phase("Drawing the lessons' pictures", len(course.built_modules))
    problems: list[Problem] = []
    for done, module in enumerate(course.built_modules, start=1):
        problems += _check_module_pictures(course, module)
        watch.report_steps_done(done)
    for name, path in records.find_stale_records(course.root / "modules"):
        message = f"{name} was measured with a different version of modules/{path}."
        repair = f"Run `inv figures --measure {name}`, then check the captions of its pictures."
        problems.append(Problem("course/figures/records.json", 1, message, repair))
    return problems


def _check_module_pictures(course: CourseTree, module: Module) -> Iterator[Problem]:
    """Yield what is wrong with one lesson's pictures."""
    lesson, drawn = course.read_text(module.lesson), draw_module(module.id)
    shown = {name: said for said, name, _ in SHOWN_PICTURE.findall(lesson)}
    for name, svg in drawn.items():
        path = module.folder / FIGURES_FOLDER / name
        if not is_picture_current(course.root / path, svg):
            yield Problem(path.as_posix(), 1, "is not what the code draws now.", "Run `inv figures`.")
        if len(svg.encode()) > MAX_PICTURE_BYTES:
            yield Problem(path.as_posix(), 1, f"has more than {MAX_PICTURE_BYTES // 1024} KB.", "Draw fewer shapes.")
        if name not in shown:
            message = f"does not show {FIGURES_FOLDER}/{name} with a caption."
            repair = (
                f"Write `![what it shows]({FIGURES_FOLDER}/{name})\\`, with the caption in italics on the next line."
            )
            yield Problem(module.lesson.as_posix(), 1, message, repair)
        elif len(shown[name]) < MIN_ALT_LENGTH:
            message = f"has alt text for {FIGURES_FOLDER}/{name} that is too short."
            yield Problem(module.lesson.as_posix(), 1, message, "Describe between the brackets what it shows.")
    for image in list_lesson_images(lesson):
        if image.removeprefix(f"{FIGURES_FOLDER}/") not in drawn:
            message = f"shows {image}, which no code draws."
            yield Problem(module.lesson.as_posix(), 1, message, "Add it to course/figures, or delete it.")
