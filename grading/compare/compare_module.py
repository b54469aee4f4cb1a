"""Compare a module with PyTorch.

The student's code runs in a worker, and PyTorch runs in this process, with one thread each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from grading.compare import cases, training_cases
from grading.compare.case_comparison import Comparison, ComparisonCase, compare_case, import_pytorch
from grading.errors import UsageError
from grading.grade import MODULE_BUDGET
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, Manifest, Module
from grading.render.progress_watch import ProgressWatch
from grading.sandbox.folders import create_temporary_folder
from grading.sandbox.launch import choose_fence
from grading.submission import copy_submission
from grading.testing.students import WorkerStudent
from grading.workers import start_worker

CASES_BY_MODULE: dict[str, Callable[[], list[ComparisonCase]]] = {
    "01_setup": cases.list_dot_product_cases,
    "02_tensor": partial(cases.list_operation_cases, differentiate=False),
    "03_activations": cases.list_activation_cases,
    "04_layers": cases.list_layer_cases,
    "05_dense": cases.list_network_cases,
    "06_spatial": cases.list_spatial_cases,
    "07_attention": partial(cases.list_attention_cases, differentiate=False),
    "08_dataloader": cases.list_loading_cases,
    "09_autograd": cases.list_autograd_cases,
    "10_optimizers": training_cases.list_optimizer_cases,
    "11_training": training_cases.list_training_cases,
    "12_compression": training_cases.list_compression_cases,
    "13_kernels": training_cases.list_kernel_cases,
    "16_tinygpt": training_cases.list_language_cases,
}
"""The modules with a counterpart in PyTorch."""


def compare_module(root: Path, module_id: str, *, seed: int, watch: ProgressWatch) -> tuple[Comparison, ...]:
    """Compare a module with PyTorch, case by case, on inputs drawn from a seed; raise UsageError without PyTorch.

    Raise UsageError as well if the module has no counterpart in PyTorch.
    """
    if module_id not in CASES_BY_MODULE:
        others = ", ".join(name[:2] for name in CASES_BY_MODULE)
        raise UsageError(f"Module {module_id} has no counterpart in PyTorch. Compare one of these modules: {others}")
    torch, manifest = import_pytorch(), load_manifest(root)
    with limit_to_one_thread(torch), start_student_worker(root, manifest, manifest.module(module_id)) as student:
        return compare_cases(CASES_BY_MODULE[module_id](), student, torch, seed, watch)


def compare_cases(
    cases_to_compare: list[ComparisonCase], student: Any, torch: Any, seed: int, watch: ProgressWatch
) -> tuple[Comparison, ...]:
    """Compare both sides of each case, on inputs drawn from the seed and the case's position, and report progress."""
    watch.begin_phase("Computing on both sides", len(cases_to_compare))
    comparisons = []
    for number, case in enumerate(cases_to_compare):
        watch.report_steps_done(number, case.name)
        comparisons.append(compare_case(case, student, torch, np.random.default_rng([seed, number])))
    return tuple(comparisons)


@contextmanager
def limit_to_one_thread(torch: Any) -> Iterator[None]:
    """Make PyTorch use one thread within the block, like a worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def start_student_worker(root: Path, manifest: Manifest, last_module: Module) -> Iterator[WorkerStudent]:
    """Start a worker with the student's modules up to `last_module`."""
    modules = tuple(m for m in manifest.modules if m.number <= last_module.number and m.status is BuildStatus.BUILT)
    with create_temporary_folder("tinytorch-compare-") as folder:
        submission = copy_submission(root, manifest, modules, None, folder)
        with start_worker(submission, modules, MODULE_BUDGET, choose_fence(official=False)) as worker:
            yield WorkerStudent(worker)
