"""Pools of processes that never outlive the command, and leave stopping to it. Nothing heavy here."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

from agegender.errors import UserError
from agegender.machine.signals import end_with, signals_held

SIGNAL_SECONDS = 1.0

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def process_pool(
    workers: int, purpose: str, start: Callable[..., object] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of spawned processes, each of which begins with `start(*arguments)`; submit inside `signals_held`.

    Leaving the block cancels what was not begun. UserError, which names the `purpose`, when one of them dies.
    """
    # Spawned, since a forked copy of a caller with threads (torch, MLflow) can hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (os.getpid(), start, arguments))
    try:
        yield pool
    except BrokenProcessPool as error:
        # A signal to all processes of a command may reach these first: then it is not their death that ends it.
        time.sleep(SIGNAL_SECONDS)
        raise UserError(
            f"a process that {purpose} died, perhaps for lack of memory: run the same command again to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def completed(
    work: Callable[[T], R],
    tasks: Sequence[T],
    workers: int,
    purpose: str,
    start: Callable[..., object] | None = None,
    *arguments: Any,
) -> Generator[R]:
    """Yield `work(task)` of each task as it is done, in any order, computed by a `process_pool`.

    Never more than two tasks per process are handed out, so that a stop is quick.
    """
    with process_pool(min(workers, len(tasks)), purpose, start, *arguments) as pool:
        left = iter(tasks)
        waiting = {_submit(pool, work, task) for task in islice(left, 2 * workers)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {_submit(pool, work, task) for task in islice(left, len(done))}
            for future in done:
                yield future.result()


def _submit(pool: ProcessPoolExecutor, work: Callable[[T], R], task: T) -> Future[R]:
    with signals_held():
        return pool.submit(work, task)


def _begin(parent: int, start: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    end_with(parent)
    if start:
        start(*arguments)
