"""milestones.yaml: the model and its reader."""
