"""Every workflow, run step by step by a small interpreter of GitHub's syntax."""
