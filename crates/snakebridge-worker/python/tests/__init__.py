"""Tests of the worker: `python -m unittest discover`, in the folder above.

A test that hangs ends the run, with the stack of every thread.
"""

import faulthandler

faulthandler.dump_traceback_later(120, exit=True)
