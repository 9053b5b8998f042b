"""Several runs of a sweep at a time, each in a process of its own, so that what dies with a process is one run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import joblib
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_joblib_launcher._core import execute_job
from joblib.externals.loky import ProcessPoolExecutor
from omegaconf import DictConfig

from agegender.machine.signals import end_with, heeding_signals, number_of
from agegender.training.device import runs_at_once

# What the libraries that compute with threads read when they are imported.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
log = logging.getLogger(__name__)


def launch(
    jobs: Sequence[Sequence[str]],
    first: int,
    n_jobs: int,
    context: HydraContext,
    config: DictConfig,
    task: TaskFunction,
) -> list[JobReturn]:
    """Run jobs, lists of overrides numbered from `first`, and return what became of those whose process lived.

    The processes are joblib's, which can be sent what Hydra gives a job. A process goes on with the next job, and one
    that died is replaced. Those still under way are killed when this is left by an error or a signal.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
    at_once = min(runs_at_once({"n_jobs": n_jobs}), len(jobs))
    shared = (context, config, task, Singleton.get_state())
    idle = [_process(at_once) for _ in range(at_once)]
    busy: dict[Future[JobReturn], tuple[ProcessPoolExecutor, Sequence[str]]] = {}
    ended: list[JobReturn] = []

    def collect() -> None:
        """Wait for the next end of a job; its process is idle then, or another takes its place."""
        for future in wait(busy, return_when=FIRST_COMPLETED).done:
            process, overrides = busy.pop(future)
            try:
                ended.append(future.result())
            except BrokenProcessPool:
                overrides = " ".join(filter_overrides(overrides))
                log.error("%s: its process died, perhaps for lack of memory; the other runs go on", overrides)
                process = _process(at_once)
            idle.append(process)

    try:
        for number, overrides in enumerate(jobs, first):
            if not idle:
                collect()
            process = idle[-1]
            try:
                future = process.submit(_job, number, overrides, *shared)
            except BrokenProcessPool:  # it died after its last job
                process = idle[-1] = _process(at_once)
                future = process.submit(_job, number, overrides, *shared)
            busy[future] = process, overrides
            idle.pop()  # only now, so that a signal in between finds the process in one of the two
        while busy:
            while idle:
                idle.pop().shutdown()  # its memory is of use to the others
            collect()
    finally:
        for process in (*idle, *(process for process, _ in busy.values())):
            process.shutdown(kill_workers=True)
    return ended


def _process(at_once: int) -> ProcessPoolExecutor:
    """Return an executor of one process, which starts at its first job; of several, each has its share of the cores."""
    share = str(max(1, joblib.cpu_count() // at_once))
    env = {name: os.environ.get(name, share) for name in THREADS if at_once > 1}
    return ProcessPoolExecutor(1, initializer=end_with, initargs=(os.getpid(),), env=env)


def _job(number: int, overrides: Sequence[str], *shared: Any) -> JobReturn:
    """Run a job in its process; a signal ends the process with the run."""
    run: Callable[..., JobReturn] = execute_job
    with heeding_signals():
        try:
            return run(number, overrides, *shared)
        except KeyboardInterrupt as stop:
            os._exit(128 + number_of(stop))  # the executor would hand it on as the result and take the next job
