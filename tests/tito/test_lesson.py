"""A lesson on a terminal shows its questions, holds back their answers, and breaks no figure."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.tito.conftest import ROOT
from tito.lesson import LessonMarkdown, convert_tex_to_plain_letters, show_lesson, split_lesson_at_questions

LESSON = """# Title

$$a \\cdot b = \\sum_i a_i b_i$$

```text
    {wide}
      below
```

![A stone,
falling.](figures/fall.svg)\\
*It falls ever
faster.*

## Check yourself

<details><summary>How many
bytes?</summary>

Eight of them.

</details>

<details>
<summary>And why?</summary>

Since they are.

</details>

The end.
""".replace("{wide}", "x" * 120)


def read_lesson(replies: list[str] | None, width: int = 80) -> tuple[str, list[str]]:
    """Return what is shown of the lesson on a terminal of this width, and what was shown whenever a key was awaited."""
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    before: list[str] = []

    def ask(_prompt: str) -> str:
        """Keep what was shown so far, and return the next reply, or raise KeyboardInterrupt for Ctrl-C."""
        before.append(out.file.getvalue())
        reply = replies.pop(0)
        if reply == "Ctrl-C":
            raise KeyboardInterrupt
        return reply

    def page(console: Console, lesson: LessonMarkdown) -> None:
        console.print(lesson, crop=False)

    show_lesson(LESSON, out, ask=None if replies is None else ask, page=page)
    return out.file.getvalue(), before


def test_a_question_is_shown_and_its_answer_waits_for_a_key() -> None:
    """Both questions are shown, one after the other, and answers appear only after a key."""
    shown, before = read_lesson(["", ""])
    assert "How many bytes?" in before[0]
    assert "Eight" not in before[0]
    assert "Eight of them." in before[1]
    assert "And why?" in before[1]
    assert "Since" not in before[1]
    assert shown.index("Since they are.") < shown.index("The end.")


@pytest.mark.parametrize("reply", ["q", "Ctrl-C"])
def test_a_lesson_can_be_left_at_a_question(reply: str) -> None:
    """Leaving shows neither the answer nor a traceback."""
    shown, _ = read_lesson(["", reply])
    assert "Eight of them." in shown
    assert "Since" not in shown


def test_without_somebody_to_ask_everything_is_shown() -> None:
    """Questions are shown together with their answers."""
    shown, _ = read_lesson(None)
    assert re.search(r"How many bytes\?\s+Eight of them\.\s+\? And why\?\s+Since they are\.", shown)


def test_a_figure_is_not_broken() -> None:
    """Lines stay intact on a narrow terminal, without their common indentation."""
    shown, _ = read_lesson(None, width=40)
    assert "\n" + "x" * 120 + "\n  below" in shown


def test_a_picture_is_told_in_words() -> None:
    """File, description and caption are shown, set apart from the text, without Markdown characters."""
    shown, _ = read_lesson(None)
    assert re.search(r"▌ figures/fall.svg A stone, falling\.\s+▌ It falls ever faster\.", shown)
    assert "🌆" not in shown
    assert "![" not in shown


def test_formulas_are_readable() -> None:
    """Formulas use symbols and small letters, and no TeX."""
    shown, _ = read_lesson(None)
    assert "a · b = Σᵢ aᵢ bᵢ" in shown
    assert "$$" not in shown
    frac = r"\frac{1}{n} \sum_{i=1}^{n} (x_i - \mu)^2 \leq \sqrt{v + \epsilon}, \; W^\top x"
    assert convert_tex_to_plain_letters(frac) == "1 / n Σᵢ₌₁ⁿ (xᵢ - μ)² ≤ √(v + ε),   Wᵀ x"
    assert convert_tex_to_plain_letters(r"e^{-x} \to x_{best}, \frac{a+b}{2}") == "e^(-x) → x_(best), (a+b) / 2"


@pytest.mark.parametrize("lesson", sorted(ROOT.glob("modules/*/README.md")), ids=lambda path: path.parent.name)
def test_every_lesson_keeps_its_questions_and_formulas(lesson: Path) -> None:
    """There are as many questions as folds, each with an answer, and no formula is left as TeX."""
    text = lesson.read_text(encoding="utf-8")
    parts = [part for part in split_lesson_at_questions(text) if part.question]
    assert len(parts) == text.count("<details>")
    assert all(part.question and part.answer for part in parts)
    for formula in re.findall(r"\$\$(.+?)\$\$", text):
        assert not set(convert_tex_to_plain_letters(formula)) & set("\\{}_^$")
