"""Compares a module: the student's side in a worker, as in a verdict, PyTorch's in this process, one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from grading.compare import cases, training_cases
from grading.compare.beside import Case, Comparison, compare_case, pytorch
from grading.errors import UsageError
from grading.grade import MODULE_BUDGET
from grading.manifest.load import load
from grading.manifest.model import Manifest, Module, Status
from grading.render.progress import Watch
from grading.sandbox.folders import temporary_folder
from grading.sandbox.launch import choose_fence
from grading.submission import copy_submission
from grading.testing.students import WorkerStudent
from grading.workers import start_worker

CASES: dict[str, Callable[[], list[Case]]] = {
    "01_setup": cases.dot_products,
    "02_tensor": partial(cases.operations, differentiate=False),
    "03_activations": cases.activations,
    "04_layers": cases.layers,
    "05_dense": cases.deep_networks,
    "06_spatial": cases.spatial,
    "07_attention": partial(cases.attention, differentiate=False),
    "08_dataloader": cases.loading,
    "09_autograd": cases.autograd,
    "10_optimizers": training_cases.optimizers,
    "11_training": training_cases.training,
    "12_compression": training_cases.compression,
    "13_kernels": training_cases.compiled,
    "16_tinygpt": training_cases.language,
}
"""The modules with a counterpart in PyTorch."""


def compare_module(root: Path, module_id: str, *, seed: int, watch: Watch) -> tuple[Comparison, ...]:
    """Compare every case of a module on inputs drawn from a seed; UsageError without a counterpart or PyTorch."""
    if module_id not in CASES:
        others = ", ".join(name[:2] for name in CASES)
        raise UsageError(f"PyTorch has no counterpart to module {module_id}. Compare one of: {others}")
    torch, manifest = pytorch(), load(root)
    with one_thread(torch), student_of(root, manifest, manifest.module(module_id)) as student:
        return compare_cases(CASES[module_id](), student, torch, seed, watch)


def compare_cases(some: list[Case], student: Any, torch: Any, seed: int, watch: Watch) -> tuple[Comparison, ...]:
    """Compare one case after another, each on inputs of its own."""
    watch.phase("Computing on both sides", len(some))
    comparisons = []
    for number, case in enumerate(some):
        watch.advance(number, case.name)
        comparisons.append(compare_case(case, student, torch, np.random.default_rng([seed, number])))
    return tuple(comparisons)


@contextmanager
def one_thread(torch: Any) -> Iterator[None]:
    """Make PyTorch compute with one thread, like a worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def student_of(root: Path, manifest: Manifest, last: Module) -> Iterator[WorkerStudent]:
    """Start a worker with the student's modules up to the last one."""
    modules = tuple(m for m in manifest.modules if m.number <= last.number and m.status is Status.BUILT)
    with temporary_folder("tinytorch-compare-") as folder:
        submission = copy_submission(root, manifest, modules, None, folder)
        with start_worker(submission, modules, MODULE_BUDGET, choose_fence(official=False)) as worker:
            yield WorkerStudent(worker)
