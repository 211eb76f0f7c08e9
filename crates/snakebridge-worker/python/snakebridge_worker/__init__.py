"""The Python side of SnakeBridge: one process that carries out calls for a Rust program.

Standard library only, Python 3.9 or newer. `main` is where it begins; `spec/wire.md` in the
project describes what it reads and writes.
"""
