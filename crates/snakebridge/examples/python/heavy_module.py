"""Stands for a library that takes its time; used by the example `seed`."""


def compute(data):
    return sum(data)


class Model:
    """Something worth keeping in Python between calls."""

    def __init__(self, weights):
        self.weights = weights

    def compute(self):
        return compute(self.weights)
