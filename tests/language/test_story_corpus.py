"""Stories made from a seed: every claim can be checked, and the prompts are not in the training text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

import numpy as np
import pytest

from grading.language.story_corpus import (
    CHARACTERS,
    StoryCorpus,
    count_true_claims,
    draw_story_corpus,
    measure_true_claim_share,
    parse_claims,
)


@pytest.fixture(scope="module")
def story_corpus() -> StoryCorpus:
    """Draw a small text, which follows the same rules as a large one."""
    return draw_story_corpus(np.random.default_rng(5), documents=3000)


def test_those_of_a_prompt_never_met_in_the_text(story_corpus):
    """24 of the 190 pairs of characters have no story in training, and every prompt is about one of those."""

    def meetings(texts: Iterable[str]) -> set[frozenset[str]]:
        return {frozenset(re.findall(rf"\b({'|'.join(CHARACTERS)})\b", text)) for text in texts}

    seen, asked = meetings(story_corpus.documents), meetings(prompt.text for prompt in story_corpus.prompts)
    assert len(seen) == 166
    assert all(map(len, asked)), "two characters each"
    assert len(asked) > 15
    assert not asked & seen


def test_each_made_up_verb_means_one_thing(story_corpus):
    """What both go home with follows from who had what, and from the verb."""
    for prompt in story_corpus.prompts:
        first, verb, second = prompt.text.rstrip(".").split()[-3:]
        had = {}
        for who, one, other in re.findall(r"(\w+) had a ([\w ]+) and a ([\w ]+)\.", prompt.text):
            animal, thing = sorted((one, other), key=lambda name: " " in name)
            had[who] = {f"the {animal}"}, {f"the {thing}"}
        (mine, my_thing), (yours, your_thing) = had[first], had[second]
        wanted = {
            "swap": (mine | your_thing, yours | my_thing),
            "give": (mine, yours | your_thing | my_thing),
            "take": (mine | my_thing | your_thing, yours),
            "keep": (mine | my_thing, yours | your_thing),
        }[next(event for event, word in story_corpus.verbs.items() if word == verb)]
        assert parse_claims(prompt.answer) == [(first, wanted[0]), (second, wanted[1])]


def test_a_remark_is_of_what_its_owner_has(story_corpus):
    """An animal or a thing is mentioned only after its owner's name."""
    for document in story_corpus.documents[:300]:
        for who, one, other in re.findall(r"(\w+) had a ([\w ]+) and a ([\w ]+)\.", document):
            for sentence in document.split(". ")[2:-3]:
                if (found := re.search(f"the ({one}|{other})$", sentence)) is not None:
                    assert who in sentence[: found.start()]


@pytest.mark.parametrize(
    ("completion", "true", "of"),
    [
        (" At night Ben went home with the dog and the red car. Mia went home with the cat and the blue hat.", 2, 2),
        (" At night Mia went home with the blue hat and the cat. Ben went home with the red car and the dog.", 2, 2),
        (" At night Ben went home with the dog and the blue hat. Mia went home with the cat and the blue hat.", 1, 2),
        (" At night Ben went home with the dog and the red car.", 1, 2),
        (" At night Ben went home with the dog. Ben went home with the dog and the red car.", 0, 2),
        (" Ben went home with the dog, the dog and the red car. Mia went home with the cat and the blue hat.", 1, 2),
        (
            " Tom went home with the cat. Ben went home with the dog and the red car. Sue went home with a.",
            1,
            3,
        ),
        ("", 0, 2),
    ],
)
def test_claims_are_counted_one_by_one(story_corpus, completion, true, of):
    """Each character's claim counts once. Missing, contradictory or misattributed claims are not true."""
    prompt = type(story_corpus.prompts[0])(
        "…", " At night Ben went home with the dog and the red car. Mia went home with the cat and the blue hat."
    )
    assert count_true_claims(prompt, completion) == (true, of)


def test_right_answers_are_all_true_and_recited_ones_hardly_ever(story_corpus):
    """The prompts' own answers are true, and those of other prompts are not."""
    answers = [prompt.answer for prompt in story_corpus.prompts]
    assert measure_true_claim_share(story_corpus.prompts, answers) == 1
    assert measure_true_claim_share(story_corpus.prompts, answers[1:] + answers[:1]) < 0.05


def test_who_guesses_the_verb_is_right_once_in_three(story_corpus):
    """A program that ignores the verb and lets all characters keep their things misses the threshold."""
    kept = draw_story_corpus(np.random.default_rng(5), documents=3000)
    right = [p.answer for p in kept.prompts if story_corpus.verbs["keep"] in p.text]
    assert 0.2 < len(right) / len(kept.prompts) < 0.45


def test_one_seed_makes_one_text_and_another_seed_another():
    """Everything follows from the generator."""
    first, again, other = (draw_story_corpus(np.random.default_rng(s), documents=50, prompts=5) for s in (1, 1, 2))
    assert (first.documents, first.prompts, first.verbs) == (again.documents, again.prompts, again.verbs)
    assert not {*first.documents} & {*other.documents}
    assert not {*first.verbs.values()} & {*other.verbs.values()}


def test_the_whole_text_is_made_quickly_and_is_not_large():
    """12,000 stories take less than 4 MB and far less than a second of CPU time on any machine."""
    started = time.process_time()
    text = draw_story_corpus(np.random.default_rng(3)).text
    assert time.process_time() - started < 2
    assert 2_000_000 < text.size < 4_000_000
