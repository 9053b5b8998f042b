"""How a process ends before its time: by a signal, or with the process that started it. Nothing heavy here."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What terminals, `kill`, containers and schedulers send; SIGUSR1 and SIGUSR2 some time before a job is pre-empted.
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
SAME_SECONDS = 1  # `timeout` and a closing terminal send a signal to the process and to its group: it comes twice
AGAIN_SECONDS = 0.1
GRACE_SECONDS = 10  # for a process to end in good order after its parent


class Stopped(KeyboardInterrupt):
    """A signal said to end. Libraries that clean up after Ctrl-C thereby clean up after every signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def number_of(stop: KeyboardInterrupt) -> signal.Signals:
    """Return the signal that stopped the process: Ctrl-C, where Python's own handler took it."""
    return signal.Signals(stop.number) if isinstance(stop, Stopped) else signal.SIGINT


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Raise `Stopped` in the main thread, which has to call this, at every signal of SIGNALS inside the block.

    A signal that is ignored (`nohup`) or that has a handler already (in a job of submitit's) stays so. Python drops
    what is raised while an object is deleted: then the signal is sent again.
    """
    stopped = -float("inf")
    hook = sys.unraisablehook

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal stopped
        if time.monotonic() - stopped > SAME_SECONDS:
            stopped = time.monotonic()
            raise Stopped(number)

    def dropped(what: sys.UnraisableHookArgs) -> None:
        nonlocal stopped
        if isinstance(what.exc_value, Stopped):
            stopped = -float("inf")
            threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), what.exc_value.number)).start()
        else:
            hook(what)

    free = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) in free}
    for number in before:
        signal.signal(number, stop)
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGNALS back: in this process to the end of the block, in processes started in it, SIGTERM apart, for good.

    They inherit the blocked signals, so that stopping is the parent's affair; and a parent that is interrupted while it
    starts one leaves a process that dies with a traceback. SIGTERM is how a pool ends its processes.
    """
    held: list[int] = []
    main = threading.current_thread() is threading.main_thread()  # the only one that may set a handler
    handlers = {number: signal.getsignal(number) for number in SIGNALS if main}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: held.append(number))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set(SIGNALS) - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def end_with(parent: int) -> None:
    """Let this process end when the process `parent`, which started it, does, however that ends: as at SIGTERM.

    For the processes of a pool, which would otherwise wait for work.
    """
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:  # an orphan gets another parent, on every system
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
