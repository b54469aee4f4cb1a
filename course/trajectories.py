"""Write modules/10_optimizers/reference.json: the steps of PyTorch's own optimisers, for the module's tests.

Run this by hand after adding a run: `pip install torch==2.13.0` in a separate environment, then
`python course/trajectories.py`. It needs no other part of the course, and no other part needs PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

TARGET = Path(__file__).resolve().parent.parent / "modules" / "10_optimizers" / "reference.json"
STEPS = 100
KEPT = (1, 2, 3, 4, 7, 10, 20, 30, 50, 70, 99, 100)
ABOUT = (
    "How PyTorch's optimisers move four parameters in 100 steps, in float32 on a CPU. Made by course/trajectories.py. "
    "The loss of step k (from 0) is the mean of (tanh(x @ weight.T + bias) - y)**2 over the rows 2k and 2k + 1 (mod 8) "
    "of inputs and targets; where k is a multiple of 3, (gain - x.sum())**2 / 2 is added, so gain has no gradient in "
    "other steps; unused never has one. Each row of a run is: step, learning rate after it, weight, bias, gain, unused."
)
INPUTS = [[round(float(torch.sin(torch.tensor(2.0 * i + 5.0 * j + 1))), 2) for j in range(3)] for i in range(8)]
TARGETS = [[round(0.8 * float(torch.cos(torch.tensor(3.0 * i + 4.0 * j))), 2) for j in range(2)] for i in range(8)]
START = {
    "weight": [[0.5, -0.3, 0.8], [-0.6, 0.1, 0.4]],
    "bias": [0.2, -0.1],
    "gain": [1.5],
    "unused": [0.7],
}
SGD, ADAM, ADAMW = "SGD", "Adam", "AdamW"
RUNS: dict[str, tuple[Any, ...]] = {
    "sgd": (SGD, {"lr": 0.1}),
    "sgd with weight decay": (SGD, {"lr": 0.1, "weight_decay": 0.05}),
    "sgd with momentum": (SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd with momentum and weight decay": (SGD, {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}),
    "nesterov": (SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "nesterov with weight decay": (SGD, {"lr": 0.03, "momentum": 0.7, "nesterov": True, "weight_decay": 0.1}),
    "adam": (ADAM, {}),
    "adam, larger steps": (ADAM, {"lr": 0.02}),
    "adam with other betas and eps": (ADAM, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam with weight decay": (ADAM, {"lr": 0.02, "weight_decay": 0.1}),
    "adamw": (ADAMW, {"lr": 0.02}),
    "adamw with more decay": (ADAMW, {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.3}),
    "clipped": (SGD, {"lr": 0.1, "momentum": 0.9}, {"max_norm": 0.5}),
    "clipped adamw": (ADAMW, {"lr": 0.02}, {"max_norm": 0.2}),
    "steps": (SGD, {"lr": 0.2}, {"scheduler": ("StepLR", {"step_size": 7, "gamma": 0.7})}),
    "steps by default": (SGD, {"lr": 0.2}, {"scheduler": ("StepLR", {"step_size": 30})}),
    "cosine": (ADAM, {"lr": 0.05}, {"scheduler": ("CosineAnnealingLR", {"T_max": 100})}),
    "cosine, up again": (SGD, {"lr": 0.2}, {"scheduler": ("CosineAnnealingLR", {"T_max": 40, "eta_min": 0.01})}),
    "one cycle": (ADAMW, {"lr": 0.5}, {"scheduler": ("OneCycleLR", {"max_lr": 0.05, "total_steps": 100})}),
    "another cycle": (
        SGD,
        {"lr": 0.5},
        {
            "scheduler": (
                "OneCycleLR",
                {"max_lr": 0.3, "total_steps": 104, "pct_start": 0.45, "div_factor": 10.0, "final_div_factor": 50.0},
            )
        },
    ),
}


def record_optimizer_run(
    optimizer_name: str, options: dict, max_norm: float | None = None, scheduler: tuple | None = None
) -> list[list[float]]:
    """Run a PyTorch optimizer on the small problem; return [step, learning rate, *parameters] for the steps in KEPT."""
    inputs, targets = torch.tensor(INPUTS), torch.tensor(TARGETS)
    weight, bias, gain, _unused = parameters = [torch.tensor(v).requires_grad_() for v in START.values()]
    taking = getattr(torch.optim, optimizer_name)(parameters, **options)
    schedule = None
    if scheduler is not None:
        name, arguments = scheduler
        if name == "OneCycleLR":
            arguments = arguments | {"cycle_momentum": False}
        schedule = getattr(torch.optim.lr_scheduler, name)(taking, **arguments)
    rows = []
    for step in range(STEPS):
        some = [2 * step % 8, (2 * step + 1) % 8]
        x, y = inputs[some], targets[some]
        loss = ((torch.tanh(x @ weight.T + bias) - y) ** 2).mean()
        if step % 3 == 0:
            loss = loss + ((gain - x.sum()) ** 2).sum() / 2
        taking.zero_grad()
        loss.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        taking.step()
        if schedule is not None:
            schedule.step()
        if step + 1 in KEPT:
            values = torch.cat([p.detach().ravel() for p in parameters]).tolist()
            rows.append([step + 1, *(float(f"{x:.8g}") for x in (taking.param_groups[0]["lr"], *values))])
    return rows


def write_reference_trajectories() -> None:
    """Run PyTorch's optimizers, and write their trajectories to the reference file, one row of values on each line."""
    torch.set_num_threads(1)
    runs = []
    for name, (optimizer, options, *more) in RUNS.items():
        rows = record_optimizer_run(optimizer, options, **(more[0] if more else {}))
        header = {"name": name, "optimizer": optimizer, "options": options, **(more[0] if more else {})}
        lines = ",\n    ".join(json.dumps(row) for row in rows)
        runs.append(f'  {json.dumps(header)[:-1]}, "rows": [\n    {lines}]}}')
    head = {"about": ABOUT, "torch": torch.__version__, "inputs": INPUTS, "targets": TARGETS, "start": START}
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    TARGET.write_text("{" + ",\n".join(parts) + ',\n"runs": [\n' + ",\n".join(runs) + "]}\n", encoding="utf-8")


if __name__ == "__main__":
    write_reference_trajectories()
