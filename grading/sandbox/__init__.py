"""How a worker process is started and confined: bubblewrap, Landlock, or a limited process.

Design: docs/architecture/isolation.md, in the course's repository.
"""
