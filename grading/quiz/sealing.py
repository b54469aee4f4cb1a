"""Seal answer keys for a release: salted scrypt digests replace the answers.

Sealing hides the answers from anyone who reads the files, and checking one guess costs a few milliseconds of processor
time. It does not stop a program that tries every answer. A question with five options has at most 31 sets of correct
options, and a number below a thousand is found in seconds. No digest on the student's own machine can change that. So
the verdict on a student's machine is feedback, and the instructor's run produces the verdict that counts. That run
takes each student's id from the roster (`--student`), so that nobody can submit another student's questions.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

from grading.manifest.model import ChoiceQuestion, NumberQuestion, SealedKey
from grading.quiz.decimals import normalize_number
from grading.quiz.student_questions import ENVIRONMENT, VARIANT_COUNT, choose_parameters

if TYPE_CHECKING:
    from jinja2.environment import TemplateExpression

SCRYPT_COST = {"n": 1 << 11, "r": 8, "p": 1, "dklen": 16}
"""The cost of a digest. One guess takes about 3.7 ms and 2 MB. The 256 digests for four number questions take 1 s."""


def compute_canonical_answer(question: NumberQuestion | ChoiceQuestion, variant: int) -> str:
    """Return the correct answer in canonical form. Raise ValueError if the question has no plain-text answer."""
    if isinstance(question, ChoiceQuestion):
        if not question.right:
            raise ValueError(f"question {question.id} has no plain-text answer")
        return format_canonical_choice(question.right)
    if question.answer is None:
        raise ValueError(f"question {question.id} has no plain-text answer")
    answer = _compile_formula(question.answer)(**choose_parameters(question, variant))
    key = normalize_number(answer, question.digits)
    if key is None:
        raise ValueError(f"the answer of question {question.id} is not a number for variant {variant}")
    return key


@lru_cache(maxsize=256)
def _compile_formula(formula: str) -> TemplateExpression:
    """Compile the formula of an answer once for all of its variants."""
    return ENVIRONMENT.compile_expression(formula, undefined_to_none=False)


def format_canonical_choice(options: tuple[str, ...] | list[str]) -> str:
    """Return the canonical form of a set of options: a sorted JSON list without duplicates."""
    return json.dumps(sorted(set(options)), ensure_ascii=False)


def compute_sealed_digest(
    question: NumberQuestion | ChoiceQuestion, variant: int, canonical_answer: str, salt: str
) -> str:
    """Return the digest of one canonical answer to one variant (0 for a choice question)."""
    return _compute_scrypt_digest(f"{question.id}\0{variant}\0{canonical_answer}", salt)


@lru_cache(maxsize=4096)
def _compute_scrypt_digest(text: str, salt: str) -> str:
    """Return the scrypt digest of a text in hexadecimal. A process computes each digest only once."""
    return hashlib.scrypt(text.encode(), salt=bytes.fromhex(salt), **SCRYPT_COST).hex()


def seal_question(question: NumberQuestion | ChoiceQuestion) -> NumberQuestion | ChoiceQuestion:
    """Return the question as a release contains it: digests replace the answer, and the options are sorted.

    Raise ValueError if the question has no plain-text answer. The same question always gives the same digests.
    """
    count = 1 if isinstance(question, ChoiceQuestion) else VARIANT_COUNT
    keys = [compute_canonical_answer(question, variant) for variant in range(count)]
    options = tuple(sorted(question.right + question.wrong)) if isinstance(question, ChoiceQuestion) else ()
    # The salt is derived from what a release shows, never from the answer, because a fast digest would reveal the
    # answer.
    shown = json.dumps([question.id, question.prompt, options])
    salt = hashlib.sha256(shown.encode()).hexdigest()[:32]
    with ThreadPoolExecutor() as pool:  # scrypt releases the GIL
        digests = tuple(
            pool.map(lambda variant: compute_sealed_digest(question, variant, keys[variant], salt), range(count))
        )
    sealed = SealedKey(salt=salt, digests=digests)
    if isinstance(question, ChoiceQuestion):
        return question.model_copy(update={"right": (), "wrong": (), "options": options, "sealed": sealed})
    return question.model_copy(update={"answer": None, "sealed": sealed})


def is_right_answer(question: NumberQuestion | ChoiceQuestion, variant: int, canonical_answer: str) -> bool:
    """Return whether a canonical answer is correct according to the plain-text key or the sealed key."""
    if question.sealed is None:
        return canonical_answer == compute_canonical_answer(question, variant)
    digest = question.sealed.digests[variant] if variant < len(question.sealed.digests) else ""
    return compute_sealed_digest(question, variant, canonical_answer, question.sealed.salt) == digest
