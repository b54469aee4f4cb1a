"""The checks: one file each; a check measures, the manifest's thresholds decide."""
