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
    "cifar10_kernels": (
        "fresh_accuracy",
        "accuracy",
        "int8_loss",
        "int8_bytes",
        "forgotten_accuracy",
        "carried_difference",
        "numbers",
    ),
    "kernel_speed": ("speed_up", "same_values"),
    "demo": ("completed",),
    "quiz": ("correct",),
}
