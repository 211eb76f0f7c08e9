"""The Python side of the command `snakebridge`: what its commands do within a worker."""
