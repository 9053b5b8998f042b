"""What happens once around a sweep: the runs are announced before the first job and summed up after the last."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from agegender.errors import Damaged, UserError, disk_explained, exit_on_user_error
from agegender.runs.folder import RunFolder

if TYPE_CHECKING:
    from agegender.config.jobs import Job
    from agegender.tracking.target import Target

APART = "hydra_plugins.agegender_launcher.AgegenderLauncher"  # in the place of joblib's: see training/launch.py
log = logging.getLogger(__name__)
_announced: list[Shown] = []  # the sweep that this process has in MLflow and has not ended there


class Shown(NamedTuple):
    """A sweep in MLflow: its folder, the jobs of the command, and all jobs of the experiment that it belongs to."""

    target: Target
    folder: RunFolder
    jobs: list[Job]
    whole: list[Job]
    under_way: ExitStack


class Sweep(Callback):
    """Hydra's hook in the launching process; the jobs find what it left in their run folders."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job, open the parent run and the child runs, say what there is to do."""
        from agegender.config.jobs import list_jobs, narrowed, overrides_of
        from agegender.tracking.target import keep_password_in_memory
        from agegender.training.device import check_device, check_memory, runs_at_once
        from agegender.training.transfer.source import source_of

        try:
            with exit_on_user_error(), disk_explained(config.paths.runs):
                keep_password_in_memory(config)
                # What Hydra's sweeper is told only now: it composed this configuration without it.
                overrides = overrides_of(config, config.hydra.overrides.task)
                params = dict(config.hydra.sweeper.params or {})
                config.hydra.overrides.task = overrides
                config.hydra.sweeper.params = narrowed(overrides, params)
                self.jobs = list_jobs(overrides, params)
                left = sum(RunFolder(job.run).state != "done" for job in self.jobs)
                for job in self.jobs:
                    check_device(job.config)
                    if RunFolder(job.run).state != "done":
                        source_of(job.config, job.keys["data"])
                at_once = max(1, min(left, runs_at_once(config.hydra.launcher)))
                check_memory(at_once)
                if "n_jobs" in config.hydra.launcher:
                    config.hydra.launcher._target_ = APART
                    # The launcher and every job divide the cores among the runs there are.
                    config.hydra.launcher.n_jobs = at_once
                    config.hydra.overrides.hydra.append(f"hydra.launcher.n_jobs={at_once}")
                _announce(config, self.jobs, params)
        except Exception as error:
            # Hydra turns an exception of a callback into a warning and would go on with the jobs.
            traceback.print_exc()
            raise SystemExit(1) from error
        log.info("%d runs: %d done, %d to do", len(self.jobs), len(self.jobs) - left, left)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print what became of each run; leave with status 1 when one of them failed."""
        folders = [RunFolder(job.run) for job in self.jobs]
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
    finally:
        _conclude("KILLED")


def _announce(config: DictConfig, jobs: list[Job], params: Mapping[str, str]) -> None:
    """Open the parent run and a child run per job, so that parallel jobs need not race for them."""
    from agegender.commands.sweep_run import sweep_facts, sweep_name, swept_values, whole_sweep
    from agegender.tracking import sweeps
    from agegender.tracking.payload import title
    from agegender.tracking.server import check_server, explained
    from agegender.tracking.sync import adopt, announce
    from agegender.training.setup import set_up, tracking_target

    target = tracking_target(config)
    if target is None:
        return
    check_server(target)
    experiment = config.hydra.runtime.choices.get("experiment") or "sweep"
    whole = whole_sweep(config, jobs, params)
    folder = sweeps.sweep_folder(Path(config.paths.runs), sweep_name(experiment, whole))
    runs = {**folder.read("sweep").get("runs", {}), **{job.identity: job.overrides for job in jobs}}
    shown = Shown(target, folder, jobs, whole, ExitStack())
    shown.under_way.enter_context(sweeps.kept_under_way(folder))
    facts = sweep_facts(experiment, jobs[0].config, list(config.hydra.overrides.task))
    sweeps.write_sweep(folder, runs=runs, **facts)
    _announced.append(shown)
    for job in jobs:
        run = RunFolder(job.run)
        if run.state == "missing":
            with suppress(UserError), run.claimed():  # unless another process has just begun it
                if run.state == "missing":
                    set_up(run, job.config, job.keys)
    with explained(target):
        parent = sweeps.send_sweep(target, folder)
        for job, values in zip(jobs, swept_values(jobs), strict=True):
            run = RunFolder(job.run)
            try:
                announce(target, run, parent=parent, name=", ".join([title(run), *values]))
            except Damaged as error:
                log.error("not shown in MLflow: %s", error)
        for identity in runs.keys() - {job.identity for job in jobs}:  # of earlier commands
            with suppress(Damaged):
                adopt(target, RunFolder(Path(config.paths.runs) / identity), parent)


def _conclude(status: str) -> None:
    """Leave the table of the sweep on its parent run, where a newcomer looks first; show no run as waiting any more."""
    if not _announced:
        return
    from agegender.commands.sweep_run import earlier_jobs, table_of
    from agegender.tracking import sweeps
    from agegender.tracking.server import answers
    from agegender.tracking.sync import show_stopped
    from agegender.tracking.target import reason

    shown = _announced.pop()
    shown.under_way.close()
    try:
        runs = shown.folder.read("sweep")["runs"]
        others = [RunFolder(shown.folder.path.parent.parent / run) for run in runs]  # of every command of this sweep
        if status == "FINISHED" and any(run.state == "failed" for run in others):
            status = "FAILED"
        # Another process that is on the same sweep ends it.
        sweeps.write_sweep(shown.folder, status="RUNNING" if sweeps.under_way(shown.folder) else status)
        # Another command may have added runs. Outside of Hydra, as after a signal, theirs cannot be listed.
        added = [] if status == "KILLED" else earlier_jobs(runs, shown.whole)
        text, means = table_of([*shown.whole, *added])
        sweeps.write_sweep(shown.folder, description=text, metrics=means)
        answers(shown.target)
        sweeps.send_sweep(shown.target, shown.folder)
        for job in shown.jobs:
            with suppress(Damaged):
                show_stopped(shown.target, RunFolder(job.run))
    except Exception as error:  # the server may have gone; the runs are done all the same
        later = "send it later with `agegender track`"
        log.warning("the sweep's own run in MLflow could not be ended (%s): %s", reason(error), later)
