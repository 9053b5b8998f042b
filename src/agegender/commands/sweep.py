"""Hydra's hook around a sweep: every job is checked before the first starts, and summed up after the last."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from agegender.errors import UserError, disk_explained, exit_on_user_error

if TYPE_CHECKING:
    from agegender.commands.sweep_tracking import Shown
    from agegender.runs.job import Job

APART = "hydra_plugins.agegender_launcher.AgegenderLauncher"  # in the place of joblib's: see commands/launch.py
log = logging.getLogger(__name__)
_shown: list["Shown"] = []  # the sweep that this process has in MLflow and has not ended there


class Sweep(Callback):
    """Hydra's hook in the launching process; the jobs find what it left in their run folders."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job, open the parent run and the child runs, say what there is to do."""
        try:
            with exit_on_user_error(), disk_explained(config.paths.runs):
                self.jobs = _checked(config)
        except Exception as error:
            # Hydra turns an exception of a callback into a warning and would go on with the jobs.
            traceback.print_exc()
            raise SystemExit(1) from error
        left = sum(job.folder.state != "done" for job in self.jobs)
        log.info("%d runs: %d done, %d to do", len(self.jobs), len(self.jobs) - left, left)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print what became of each run; leave with status 1 when one of them failed."""
        folders = [job.folder for job in self.jobs]
        failed = [folder for folder in folders if folder.state != "done"]
        log.info("%d of %d runs are done", len(folders) - len(failed), len(folders))
        for folder in failed:
            log.error("%s %s: %s", folder.identity, folder.state, folder.failure or f"it did not end; see {folder.log}")
        _conclude("FAILED" if failed else "FINISHED")
        if failed:
            raise SystemExit(1)


@contextmanager
def shown_when_stopped() -> Iterator[None]:
    """Show a sweep as KILLED where an exception leaves its launcher: Hydra then calls no hook."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("submitit."):  # an extra, which need not be installed
            raise
        raise UserError(
            f"a job of the sweep did not end ({type(error).__name__}; see hydra.launcher.submitit_folder): the jobs "
            "that were started go on without this command; afterwards run it again, for what is missing"
        ) from error
    finally:
        _conclude("KILLED")


def _checked(config: DictConfig) -> list["Job"]:
    """List and check the jobs, and tell Hydra's sweeper and launcher of them."""
    # Here, because Hydra makes this callback for --help too.
    from agegender.commands.sweep_tracking import keep_password_in_memory, show
    from agegender.config.jobs import list_jobs, narrowed, overrides_of
    from agegender.training.device import check_device, check_memory, runs_at_once
    from agegender.training.transfer.weights_source import source_of

    keep_password_in_memory(config)
    # What Hydra's sweeper is told only now: it composed this configuration without it.
    overrides = overrides_of(config, config.hydra.overrides.task)
    params = dict(config.hydra.sweeper.params or {})
    config.hydra.overrides.task = overrides
    config.hydra.sweeper.params = narrowed(overrides, params)
    jobs = list_jobs(overrides, params)
    left = [job for job in jobs if job.folder.state != "done"]
    for job in jobs:
        check_device(job.run.trainer)
    for job in left:
        source_of(job.run, job.keys["data"])
    at_once = max(1, min(len(left), runs_at_once(config.hydra.launcher)))
    check_memory(at_once)
    if "n_jobs" in config.hydra.launcher:
        config.hydra.launcher._target_ = APART
        # The launcher and every job divide the cores among the runs there are.
        config.hydra.launcher.n_jobs = at_once
        config.hydra.overrides.hydra.append(f"hydra.launcher.n_jobs={at_once}")
    _shown.extend(show(config, jobs, params))
    return jobs


def _conclude(status: str) -> None:
    if _shown:
        from agegender.commands.sweep_tracking import conclude  # as above

        conclude(_shown.pop(), status)
