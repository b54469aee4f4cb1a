"""How a worker process is started and confined: bubblewrap where there is one, a limited process elsewhere."""
