"""What happens once around a sweep: the runs are announced before the first job and summed up after the last."""

from __future__ import annotations

import hashlib
import json
import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from agegender.errors import UserError, exit_on_user_error
from agegender.runs import RunFolder

if TYPE_CHECKING:
    from agegender.experiments import Job
    from agegender.tracking.target import Target

log = logging.getLogger(__name__)


class Sweep(Callback):
    """Hydra's hook in the launching process; the jobs find what it left in their run folders."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job, open the parent run and the child runs, say what there is to do."""
        from agegender.experiments import list_jobs, narrowed, words_of
        from agegender.training.device import check_device, check_memory, runs_at_once
        from agegender.transfer.source import source_of

        try:
            with exit_on_user_error():
                # What Hydra's sweeper is told only now: it composed this configuration without it.
                words = words_of(config, config.hydra.overrides.task)
                self.params = dict(config.hydra.sweeper.params or {})
                config.hydra.overrides.task = words
                config.hydra.sweeper.params = narrowed(words, self.params)
                self.jobs = list_jobs(words, self.params)
                left = sum(RunFolder(job.run).state != "done" for job in self.jobs)
                for job in self.jobs:
                    check_device(job.config)
                    if RunFolder(job.run).state != "done":
                        source_of(job.config, job.keys["data"])
                at_once = max(1, min(left, runs_at_once(config.hydra.launcher)))
                check_memory(at_once)
                if "n_jobs" in config.hydra.launcher:
                    # The launcher and every job divide the cores among the runs there are.
                    config.hydra.launcher.n_jobs = at_once
                    config.hydra.overrides.hydra.append(f"hydra.launcher.n_jobs={at_once}")
                self.tracked = _announce(config, self.jobs, self.params)
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
            try:
                _conclude(_whole(config, self.jobs, self.params), *self.tracked, failed=bool(failed))
            except Exception as error:  # the server may have gone; the runs are done all the same
                log.warning("the sweep's own run in MLflow could not be closed: %s", error)
        if failed:
            raise SystemExit(1)


def _announce(config: DictConfig, jobs: list[Job], params: Mapping[str, str]) -> tuple[Target, str] | None:
    """Open the parent run and a child run per job, so that parallel jobs need not race for them."""
    from agegender.tracking.mirror import announce
    from agegender.tracking.server import check_server, open_parent
    from agegender.training.setup import set_up, tracking_target

    target = tracking_target(config)
    if target is None:
        return None
    check_server(target)
    experiment = config.hydra.runtime.choices.get("experiment") or "sweep"
    common = json.dumps(_common(jobs[0], _rows(params)), sort_keys=True)
    sweep = f"{experiment}-{hashlib.sha256(common.encode()).hexdigest()[:8]}"
    first = jobs[0].config
    tags = {"experiment": experiment, "data": first.data.name, "protocol": first.protocol.name, "mode": first.mode}
    title = f"{experiment}: {first.data.title}, {first.protocol.name}, {first.recipe.name}, {first.mode}"
    parent = open_parent(target, sweep, title, tags, "This sweep is under way; its table will stand here.")
    for job in jobs:
        folder = RunFolder(job.run)
        if folder.state == "missing":
            set_up(folder, job.config, job.keys)
        announce(target, folder, parent=parent)
    return target, parent


def _rows(params: Mapping[str, str]) -> set[str]:
    """What the runs of an experiment that sweeps this may differ in and still stand in one table."""
    return {"system", "fold"} | ({"evaluation", "validation", "seed", "transfer", "training_share"} & params.keys())


def _common(job: Job, rows: set[str]) -> dict[str, Any]:
    """What the runs of one sweep share: the keys of a run without those that its rows and folds differ in."""
    recipe = {key: value for key, value in job.keys["recipe"].items() if key not in ("learning_rate", "weight_decay")}
    aside = rows | {"weights"}  # each fold starts from its own
    shared = {key: value for key, value in job.keys.items() if key not in aside}
    return shared | {"recipe": recipe}


def _whole(config: DictConfig, jobs: list[Job], params: Mapping[str, str]) -> list[Job]:
    """The jobs of the experiment that a sweep, perhaps narrowed, belongs to: the parent run shows them all."""
    from agegender.experiments import expand, list_jobs

    if not params:
        return jobs
    words = [word for word in config.hydra.overrides.task if word.split("=", 1)[0] not in _rows(params)]
    return list_jobs(words, params) if len(expand(words, params)) > len(jobs) else jobs


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
