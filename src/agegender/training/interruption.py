"""Ctrl-C under Lightning."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C: Lightning makes it an exit of its own and then ignores the signal."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
