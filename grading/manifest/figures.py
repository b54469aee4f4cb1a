"""Which checks there are and which figures each measures: what a criterion of a built milestone may name."""

FIGURES = {
    "source": ("unusable",),
    "imports": ("violations",),
    "module_tests": ("passed",),
    "integration_tests": ("passed",),
    "xor": ("fresh_loss", "accuracy", "noisy_accuracy", "loss", "control_accuracy", "carried_difference", "numbers"),
    "mnist": ("fresh_accuracy", "accuracy", "forgotten_accuracy", "carried_difference", "numbers"),
    "cifar10_convergence": (
        "fresh_accuracy",
        "accuracy",
        "loss_ratio",
        "late_fall",
        "generalisation_gap",
        "forgotten_accuracy",
        "carried_difference",
        "numbers",
    ),
    "demo": ("completed",),
    "quiz": ("correct",),
}
