"""What the tests of lanes call."""

import time

def pause(micros):
    until = time.perf_counter() + micros / 1e6
    while time.perf_counter() < until:
        pass
    return micros

def apply(f, count):
    return [f(n) for n in range(count)]

def swap(data):
    return data[::-1]

def fail():
    raise ValueError("on purpose")

class Box:
    alive = 0
    def __init__(self):
        Box.alive += 1
    def __del__(self):
        Box.alive -= 1
    def double(self, n):
        return 2 * n

def alive():
    return Box.alive

def chunks(count):
    for n in range(count):
        yield str(n) * 100
