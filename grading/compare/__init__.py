"""The student's ops beside PyTorch's, for `tito compare`: no verdict leans on any of this, and PyTorch is optional.

Design: docs/architecture/tito.md, in the course's repository.
"""
