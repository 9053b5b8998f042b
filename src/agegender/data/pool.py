"""Work handed out to fresh processes which leave Ctrl-C to their parent and end with it, however it ends.

Imported by every process that decodes or draws: nothing heavy here.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def completed(
    work: Callable[[T], R], tasks: Sequence[T], workers: int, start: Callable[..., None] | None = None, *given: Any
) -> Generator[R]:
    """Yield `work(task)` of each task as it is done, in any order, computed by so many processes.

    Each process calls `start(*given)` first. Never more than two tasks per process are handed out, so that a stop is
    quick. The processes are spawned, since a forked copy of a caller with threads (torch, MLflow) can hang.
    """
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), _begin, (start, given))
    try:
        left = iter(tasks)
        waiting = {_submit(pool, work, task) for task in islice(left, 2 * workers)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {_submit(pool, work, task) for task in islice(left, len(done))}
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, work: Callable[[T], R], task: T) -> Future[R]:
    """Submit a task, for which the pool may start a process."""
    with _interrupt_held():
        return pool.submit(work, task)


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Hold Ctrl-C back: in this process to the end of the block, in processes started in it for good.

    They inherit the blocked signal, so that stopping is the parent's affair; and a parent that is interrupted while it
    starts one leaves a process that dies with a traceback.
    """
    held: list[int] = []
    main = threading.current_thread() is threading.main_thread()  # the only one that may set a handler
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if main else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if main:
            signal.signal(signal.SIGINT, handler)
    if held:
        raise KeyboardInterrupt


def _begin(start: Callable[..., None] | None, given: Sequence[Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*given)


def _end_with_parent() -> None:
    """Leave when the parent is killed: the pool's processes would otherwise wait for work forever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
