"""What happens once around a sweep: the runs are announced before the first job and summed up after the last."""

from __future__ import annotations

import hashlib
import json
import logging
import traceback
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from agegender.errors import UserError, exit_on_user_error
from agegender.runs import RunFolder

if TYPE_CHECKING:
    from agegender.experiments import Job
    from agegender.tracking.target import Target

APART = "hydra_plugins.agegender_launcher.AgegenderLauncher"  # in the place of joblib's: see training/launch.py
log = logging.getLogger(__name__)


class Sweep(Callback):
    """Hydra's hook in the launching process; the jobs find what it left in their run folders."""

    jobs: list[Job]
    tracked: tuple[Target, str] | None = None  # the server and the parent run

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job, open the parent run and the child runs, say what there is to do."""
        from agegender.experiments import list_jobs
        from agegender.training.device import check_device, check_memory, runs_at_once
        from agegender.transfer.source import source_of

        try:
            with exit_on_user_error():
                self.jobs = list_jobs(config.hydra.overrides.task, config.hydra.sweeper.params)
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
                self.tracked = _open(config, self.jobs)
                if self.tracked:
                    _under_way.append(self)
                    _announce(self.jobs, *self.tracked)
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
            error = folder.read("failed").get("error", f"it did not end; see {folder.log}")
            log.error("%s %s: %s", folder.identity, folder.state, error)
        if self.tracked:
            from agegender.tracking.mirror import show_killed

            try:
                show_killed(self.tracked[0], failed)
                _conclude(_whole(config, self.jobs), *self.tracked, failed=bool(failed))
            except Exception as error:  # the server may have gone; the runs are done all the same
                log.warning("the sweep's own run in MLflow could not be closed: %s", error)
            _under_way.remove(self)
        if failed:
            raise SystemExit(1)


_under_way: list[Sweep] = []  # of this process, those that are tracked


def show_stopped() -> None:
    """Show on the server that the sweep of this process, if there is one, and its runs were stopped."""
    from agegender.tracking.mirror import show_killed

    for sweep in _under_way:
        assert sweep.tracked
        try:
            show_killed(sweep.tracked[0], [RunFolder(job.run) for job in sweep.jobs], sweep.tracked[1])
        except Exception as error:  # the server may have gone
            log.warning("MLflow still shows the stopped sweep as running: %s", error)


def _open(config: DictConfig, jobs: list[Job]) -> tuple[Target, str] | None:
    """Open the parent run."""
    from agegender.tracking.server import check_server, open_parent
    from agegender.training.setup import tracking_target

    target = tracking_target(config)
    if target is None:
        return None
    check_server(target)
    experiment = config.hydra.runtime.choices.get("experiment") or "sweep"
    common = json.dumps(_common(jobs[0], _rows(config)), sort_keys=True)
    sweep = f"{experiment}-{hashlib.sha256(common.encode()).hexdigest()[:8]}"
    first = jobs[0].config
    tags = {"experiment": experiment, "data": first.data.name, "protocol": first.protocol.name, "mode": first.mode}
    title = f"{experiment}: {first.data.title}, {first.protocol.name}, {first.recipe.name}, {first.mode}"
    return target, open_parent(target, sweep, title, tags, "This sweep is under way; its table will stand here.")


def _announce(jobs: list[Job], target: Target, parent: str) -> None:
    """Open a child run per job, so that parallel jobs need not race for them."""
    from agegender.tracking.mirror import announce
    from agegender.training.setup import set_up

    for job in jobs:
        folder = RunFolder(job.run)
        if folder.state == "missing":
            set_up(folder, job.config, job.keys)
        announce(target, folder, parent=parent)


def _rows(config: DictConfig) -> set[str]:
    """What the runs of this sweep may differ in and still stand in one table."""
    from agegender.experiments import swept_by

    apart = {"evaluation", "validation", "seed", "transfer", "training_share"}
    return {"system", "fold"} | (apart & swept_by(config.hydra.overrides.task).keys())


def _common(job: Job, rows: set[str]) -> dict[str, Any]:
    """What the runs of one sweep share: the keys of a run without those that its rows and folds differ in."""
    recipe = {key: value for key, value in job.keys["recipe"].items() if key not in ("learning_rate", "weight_decay")}
    aside = rows | {"weights"}  # each fold starts from its own
    shared = {key: value for key, value in job.keys.items() if key not in aside}
    return shared | {"recipe": recipe}


def _whole(config: DictConfig, jobs: list[Job]) -> list[Job]:
    """The jobs of the experiment that a sweep, perhaps narrowed, belongs to: the parent run shows them all."""
    from agegender.experiments import expand, list_jobs, swept_by

    overrides = list(config.hydra.overrides.task)
    params = swept_by(overrides)
    if not params:
        return jobs
    rows = _rows(config)
    given = {o.split("=", 1)[0] for o in overrides} - rows
    words = [o for o in overrides if o.split("=", 1)[0] in given]
    kept = {k: v for k, v in params.items() if k in rows or k in (config.hydra.sweeper.params or {})}
    return list_jobs(words, kept) if len(expand(words, kept)) > len(jobs) else jobs


def _conclude(jobs: list[Job], target: Target, parent: str, *, failed: bool) -> None:
    """Leave the table of the sweep on its parent run, where a newcomer looks first."""
    from agegender.report.caption import caption
    from agegender.report.records import load_records
    from agegender.report.render import summarize
    from agegender.report.table import build_table
    from agegender.settings import pack_of
    from agegender.tracking.server import close_parent

    first, metrics = jobs[0].config, {}
    try:
        table = build_table(load_records(jobs), (), caption(first, pack_of(first), "Results"))
        text = f"{summarize(table)}\nEverything else of it: `agegender report` with the words of this sweep."
        # The metric before the system: MLflow's charts make a section of what stands before the stroke.
        metrics = {
            f"{column.metric}/{row.key}": row.cells[column.metric].mean
            for column in table.columns
            for row in table.rows
            if column.metric in row.cells and row.cells[column.metric].done
        }
    except UserError as error:
        text = f"There is no one table of these runs: {error}."
    close_parent(target, parent, text, metrics, failed=failed)
