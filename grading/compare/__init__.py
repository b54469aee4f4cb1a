"""Compare the student's ops with PyTorch's for `tito compare`. No verdict depends on it, and PyTorch is optional.

Design: docs/architecture/tito.md, in the course's repository.
"""
