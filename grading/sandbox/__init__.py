"""How a worker process is started and confined: bubblewrap, Landlock, or a limited process."""
