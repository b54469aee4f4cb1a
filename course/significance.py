"""Write modules/15_mlops/reference.json: statistics and probabilities from SciPy, for the module's tests.

Run this by hand after adding a case: `pip install scipy==1.17.1` in a separate environment, then
`python course/significance.py`. It needs no other part of the course, and no other part needs SciPy.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import special, stats

TARGET = Path(__file__).resolve().parent.parent / "modules" / "15_mlops" / "reference.json"
ABOUT = (
    "What SciPy computes for these samples and tables; made by course/significance.py. ks: D is ks_2samp's statistic, "
    "p is special.kolmogorov of D times the square root of n m / (n + m). chi2_tail: x, df, stats.chi2.sf. chi2: "
    "samples of categories, chi2_contingency of their counts, not corrected. fisher: failures, requests, and those of "
    "the others; fisher_exact with alternative='greater'."
)


def compute_ks_case(first: list[float], second: list[float]) -> dict[str, Any]:
    """Compute SciPy's Kolmogorov-Smirnov distance and asymptotic p, and return them with the two samples."""
    distance = float(stats.ks_2samp(first, second).statistic)
    scaled = distance * math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    return {"samples": [first, second], "D": distance, "p": float(special.kolmogorov(scaled))}


def compute_chi2_case(first_sample: list[Any], second_sample: list[Any]) -> dict[str, Any]:
    """Compute SciPy's χ² and p for two samples of outcome names (not counts), and return them with the samples."""
    names = sorted({*first_sample, *second_sample})
    table = [[sample.count(name) for name in names] for sample in (first_sample, second_sample)]
    found = stats.chi2_contingency(table, correction=False)
    return {"samples": [first_sample, second_sample], "chi2": float(found.statistic), "p": float(found.pvalue)}


def compute_reference_cases() -> dict[str, list[Any]]:
    """Map each significance function to SciPy's reference cases. Every call returns the same cases."""
    rng = np.random.default_rng(15)
    numbers = []
    for n, m, shift, digits in ((20, 20, 0.0, 3), (12, 30, 1.0, 3), (40, 25, 0.5, 0), (5, 7, 3.0, 2), (60, 60, 0.3, 1)):
        samples = (rng.normal(size=n).round(digits) + 0.0, rng.normal(shift, 1, size=m).round(digits) + 0.0)
        numbers.append(compute_ks_case(*(sample.tolist() for sample in samples)))
    categories = []
    for n, m, shares in ((40, 50, [0.5, 0.3, 0.2]), (30, 80, [0.7, 0.3]), (60, 60, [0.25] * 4), (25, 90, [0.2] * 5)):
        drawn = rng.choice(len(shares), n), rng.choice(len(shares), m, p=shares)
        categories.append(compute_chi2_case(*(sample.tolist() for sample in drawn)))
    categories.append(compute_chi2_case(["cat"] * 9 + ["dog"] * 6, ["cat"] * 4 + ["dog"] * 5 + ["eel"] * 6))
    tails = [[x, df] for df in (1, 2, 3, 4, 5, 8, 13, 30, 99) for x in (0.0, 0.01, 1.0, 5.5, 20.0, 80.0, 300.0)]
    tables = [(3, 10, 1, 12), (0, 5, 7, 20), (8, 8, 0, 9), (12, 100, 40, 900), (25, 200, 90, 1800), (1, 1, 1, 1)]
    return {
        "ks": numbers,
        "chi2_tail": [[x, df, float(stats.chi2.sf(x, df))] for x, df in tails],
        "chi2": categories,
        "fisher": [
            [a, n, b, m, float(stats.fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue)]
            for a, n, b, m in tables
        ],
    }


def write_significance_cases() -> None:
    """Write the file of reference values for the significance tests, with a line for each case."""
    parts = [f'"about": {json.dumps(ABOUT)}', f'"scipy": {json.dumps(scipy.__version__)}']
    for name, cases in compute_reference_cases().items():
        lines = ",\n".join(f"  {json.dumps(case)}" for case in cases)
        parts.append(f'"{name}": [\n{lines}]')
    TARGET.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    write_significance_cases()
