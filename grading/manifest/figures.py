"""Which checks there are and which figures each measures: what a criterion of a built milestone may name."""

FIGURES = {
    "imports": ("violations",),
    "module_tests": ("passed",),
    "integration_tests": ("passed",),
    "xor": ("fresh_loss", "accuracy", "noisy_accuracy", "loss", "control_accuracy", "depends_on_weights"),
    "mnist": ("fresh_accuracy", "accuracy", "control_accuracy", "forgotten_accuracy"),
    "cifar10_convergence": (
        "fresh_accuracy",
        "accuracy",
        "loss_ratio",
        "late_fall",
        "generalisation_gap",
        "control_accuracy",
        "forgotten_accuracy",
    ),
    "demo": ("completed",),
    "quiz": ("correct",),
}
