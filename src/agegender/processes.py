"""Pools of processes that never outlive the command, and leave stopping to it. Nothing heavy here."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from agegender.errors import UserError
from agegender.stopping import end_with

SIGNAL_SECONDS = 1.0


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


def _begin(parent: int, start: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    end_with(parent)
    if start:
        start(*arguments)
