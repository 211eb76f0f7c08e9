"""Log records and warnings, told to the host while the user's code goes on.

    logging.Logger.callHandlers --+
    warnings.showwarning ---------+--> waiting --> a thread --> control channel --> host

What is told never waits: where the host is slower than the user's code, events are counted instead
of kept. `logging` is not imported for this: it is taken note of when the user's code does.
"""

from __future__ import annotations

import _signal
import _thread
import sys

from . import frames, news
from .codec import PICKLE_PROTOCOL, dumps
from .errors import clean_text as text
from .errors import message as message_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from types import ModuleType
    from typing import Any, Callable

    from .control import Control

    # The session and the name of the call that the current thread carries out.
    Where = Callable[[], tuple[int, str | None]]
else:
    from _collections import deque  # Without what `collections` imports beside it.

# How many events wait for the host; those beyond are counted.
MOST_WAITING = 1000
# How long the end of the worker waits for the host to read the last events.
_END_LIMIT = 1.0


class Events:
    """Tells the host what is logged and warned of. From any thread, and from signal handlers."""

    def __init__(self, control: Control, where: Where) -> None:
        self.is_open = True
        self._control = control
        self._where = where
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        # A signal handler may come while its own thread counts.
        self._counting = _thread.RLock()
        self._writer_runs = False
        # Released whenever there is something to do for the writer.
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        # Released when the writer has ended.
        self._ended = _thread.allocate_lock()
        self._ended.acquire()

    def install(self) -> None:
        """Begins to take note of warnings, and of log records once there can be any."""
        # C code prints warnings by itself for as long as this module is not there.
        import warnings

        self._hook_warnings(warnings)
        if "logging" in sys.modules:
            self._hook_logging(sys.modules["logging"])
        else:
            sys.meta_path.insert(0, _WhenImported("logging", self._hook_logging))

    def forget(self) -> None:
        """In a forked child: there is no writer."""
        self.is_open = False

    def end(self) -> None:
        """Waits a moment for the host to have all that was told."""
        self.is_open = False
        if self._writer_runs:
            self._ring()
            self._ended.acquire(timeout=_END_LIMIT)

    def _hook_warnings(self, warnings: ModuleType) -> None:
        show = warnings.showwarning
        # Somebody else has an idea of where warnings go: that is done as well.
        is_taken = show is not getattr(warnings, "_showwarning_orig", show)

        def showwarning(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: Any = None,
            line: str | None = None,
        ) -> None:
            if self.is_open and file is None:
                self._warning(message, category, filename, lineno)
                if not is_taken:
                    return
            show(message, category, filename, lineno, file, line)

        warnings.showwarning = showwarning  # type: ignore[attr-defined]

    def _hook_logging(self, logging: ModuleType) -> None:
        # No handler among those of the user: one would have `basicConfig` do nothing, and would be
        # thrown out by other configurations.
        call_handlers = logging.Logger.callHandlers

        def callHandlers(logger: Any, record: Any) -> None:  # noqa: N802
            if self.is_open:
                self._log(record)
                if not logger.hasHandlers():
                    return  # Else it would be printed, for want of a handler.
            call_handlers(logger, record)

        logging.Logger.callHandlers = callHandlers

    def _log(self, record: Any) -> None:
        if self._is_full():
            return
        try:
            session, call = self._where()
            self._tell(
                frames.LOG,
                session,
                (
                    int(record.levelno),
                    text(record.levelname),
                    text(record.name),
                    _log_message(record),
                    _exception(record),
                    text(record.pathname),
                    int(record.lineno),
                    call,
                ),
            )
        except Exception:
            self._drop()  # A record of one's own making may lack anything.

    def _warning(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int
    ) -> None:
        if self._is_full():
            return
        try:
            session, call = self._where()
            name = text(category.__name__)
            said = text(str(message))
            self._tell(frames.WARNING, session, (name, said, text(filename), int(lineno), call))
        except Exception:
            self._drop()

    def _is_full(self) -> bool:
        """Whether one more has to be dropped; counts it then."""
        full = len(self._waiting) >= MOST_WAITING
        if full:
            self._drop()
        return full

    def _tell(self, kind: int, session: int, parts: tuple[Any, ...]) -> None:
        body = dumps(parts, PICKLE_PROTOCOL)
        self._waiting.append(frames.header(kind, len(body), session) + body)
        self._ring()

    def _drop(self) -> None:
        with self._counting:
            self._dropped += 1

    def _ring(self) -> None:
        if not self._writer_runs:
            self._start_writer()
        try:
            self._wake.release()
        except RuntimeError:
            pass  # It has been rung already.

    def _start_writer(self) -> None:
        with self._counting:
            if self._writer_runs:
                return
            self._writer_runs = True
            try:
                _thread.start_new_thread(self._write, ())
                news.own_threads[0] += 1
            except RuntimeError:
                self._writer_runs = False  # There is no room for a thread; later perhaps.

    def _write(self) -> None:
        # Interrupts are for the main thread.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGINT})
        try:
            is_last = False
            while not is_last:
                self._wake.acquire()
                is_last = not self.is_open
                while self._waiting:
                    self._control.send(self._waiting.popleft())
                if self._dropped:
                    self._send_dropped()
        except OSError:
            pass  # The host is gone; the thread that watches for that ends the process.
        finally:
            self._ended.release()

    def _send_dropped(self) -> None:
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        self._control.send(frames.frame(frames.EVENTS_DROPPED, dumps((dropped,), PICKLE_PROTOCOL)))


class _WhenImported:
    """Does something once a module has been imported, and is gone then."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's own spec, whose loader does one thing more."""
        if name != self.name:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                self._watch(spec.loader)
                return spec
        return None

    def _watch(self, loader: Any) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            run(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self.then(module)

        loader.exec_module = exec_module


def _log_message(record: Any) -> str:
    try:
        return text(record.getMessage())
    except Exception as error:
        return text(f"{record.msg!r} with arguments that do not fit: {message_of(error)}")


def _exception(record: Any) -> str | None:
    """The traceback of a record, if it has one, as `logging` would write it."""
    if record.exc_text:
        return text(record.exc_text)
    if not record.exc_info:
        return None
    from logging import Formatter

    return text(Formatter().formatException(record.exc_info))
