"""A sweep in MLflow: a parent run with a child for every job, and the table of the sweep as its description."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from omegaconf import DictConfig

from agegender.config.jobs import expand, list_jobs
from agegender.config.settings import TrainSettings, settings_of
from agegender.errors import Damaged, UserError
from agegender.report.caption import caption
from agegender.report.markdown import summarize
from agegender.report.records import load_records
from agegender.report.table import build_table
from agegender.runs.folder import RunFolder
from agegender.runs.job import OF_A_FOLD, REPEATS, ROWS, Job
from agegender.tracking import sweeps
from agegender.tracking.payload import accepted, title
from agegender.tracking.server import answers, check_server, explained
from agegender.tracking.sync import adopt, announce, show_stopped
from agegender.tracking.target import Target, reason, without_password
from agegender.training.run_data import pack_of
from agegender.training.setup import set_up

log = logging.getLogger(__name__)


class Shown(NamedTuple):
    """A sweep in MLflow: its folder, the jobs of the command, and all jobs of the experiment that it belongs to."""

    target: Target
    folder: RunFolder
    jobs: list[Job]
    whole: list[Job]
    under_way: ExitStack


def show(config: DictConfig, jobs: list[Job], params: Mapping[str, str]) -> list[Shown]:
    """Open the parent run and a child run per job, so that parallel jobs need not race for them.

    Nothing is shown, and the list is empty, with tracking=none.
    """
    settings = settings_of(TrainSettings, config)
    target, runs = settings.target, settings.paths.runs
    if target is None:
        return []
    check_server(target)
    experiment = config.hydra.runtime.choices.get("experiment") or "sweep"
    whole = whole_sweep(config, jobs, params)
    folder = sweeps.sweep_folder(runs, sweep_name(experiment, whole))
    known = {**folder.read("sweep").get("runs", {}), **{job.identity: job.overrides for job in jobs}}
    shown = Shown(target, folder, jobs, whole, ExitStack())
    shown.under_way.enter_context(sweeps.kept_under_way(folder))
    try:
        sweeps.write_sweep(folder, runs=known, **sweep_text(experiment, jobs[0], list(config.hydra.overrides.task)))
        _send(shown, known)
    except BaseException:
        conclude(shown, "KILLED")
        raise
    return [shown]


def _send(shown: Shown, known: Mapping[str, Any]) -> None:
    """Send the parent and a child for every job; runs of earlier commands of the sweep become its children too."""
    target, jobs = shown.target, shown.jobs
    for job in jobs:
        if job.folder.state == "missing":
            with suppress(UserError), job.folder.claimed():  # unless another process has just begun it
                if job.folder.state == "missing":
                    set_up(job.folder, job.run, job.keys)
    with explained(target):
        parent = sweeps.send_sweep(target, shown.folder)
        for job, values in zip(jobs, swept_values(jobs), strict=True):
            try:
                announce(target, job.folder, parent=parent, name=", ".join([title(job.folder), *values]))
            except Damaged as error:
                log.error("not shown in MLflow: %s", error)
        for identity in known.keys() - {job.identity for job in jobs}:
            with suppress(Damaged):
                adopt(target, RunFolder(shown.folder.path.parent.parent / identity), parent)


def conclude(shown: Shown, status: str) -> None:
    """Leave the table of the sweep on its parent run, where a newcomer looks first; show no run as waiting any more."""
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
                show_stopped(shown.target, job.folder)
    except Exception as error:  # the server may have gone; the runs are done all the same
        later = "send it later with `agegender track`"
        log.warning("the sweep's own run in MLflow could not be ended (%s): %s", reason(error), later)


def sweep_name(experiment: str, jobs: list[Job]) -> str:
    """Name a sweep after its experiment and everything its runs are, whatever the order and the folds of its jobs.

    A sweep that is narrowed or goes on with more folds is the same.
    """
    apart = ("fold", *OF_A_FOLD)
    kept = {
        json.dumps({key: value for key, value in job.keys.items() if key not in apart}, sort_keys=True) for job in jobs
    }
    digest = hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()[:8]
    return f"{experiment.replace('/', '_')}-{digest}"


def sweep_text(experiment: str, first: Job, overrides: list[str]) -> dict[str, Any]:
    """Return the title and the tags of a sweep's run, and what it shows until there is a table."""
    run = first.run
    tags = {"experiment": experiment, "data": run.data.name, "protocol": run.protocol.name, "mode": run.mode}
    return {
        "title": f"{experiment}: {run.data.title}, {run.protocol.name}, {run.recipe.name}, {run.mode}",
        "tags": tags | {"command": " ".join(["agegender train -m", *overrides])},
        "description": "This sweep is under way; its table will stand here.",
        "metrics": {},
        "status": "RUNNING",
    }


def swept_values(jobs: list[Job]) -> list[list[str]]:
    """Return for each job the swept values, "recipe.steps 300", that its run's name does not tell by itself."""
    named = {*ROWS, *REPEATS} - {"mode"}
    given = [dict(each.lstrip("+").split("=", 1) for each in job.overrides if "=" in each) for job in jobs]
    keys = [key for key in dict.fromkeys(key for job in given for key in job) if key.split(".")[0] not in named]
    swept = [key for key in keys if len({job.get(key) for job in given}) > 1]
    return [[f"{key} {job[key]}" for key in swept if key in job] for job in given]


def whole_sweep(config: DictConfig, jobs: list[Job], params: Mapping[str, str]) -> list[Job]:
    """The jobs of the experiment that a sweep, perhaps narrowed, belongs to: the parent run shows them all.

    `params` is all that the experiment sweeps.
    """
    if not params:
        return jobs
    rows = {"system", "fold"} | (({*ROWS, *REPEATS} - {"mode"}) & params.keys())
    overrides = [each for each in config.hydra.overrides.task if each.split("=", 1)[0] not in rows]
    try:
        return list_jobs(overrides, params) if len(expand(overrides, params)) > len(jobs) else jobs
    except UserError:  # what the command says does not fit the others: its runs are a sweep of their own
        return jobs


def earlier_jobs(runs: Mapping[str, list[str]], jobs: list[Job]) -> list[Job]:
    """The jobs of earlier commands of the same sweep beside these; `runs` holds the overrides of each by identity."""
    found: list[Job] = []
    for identity in runs.keys() - {job.identity for job in jobs}:
        with suppress(UserError):  # its data may not be there any more
            found += [job for job in list_jobs(runs[identity], None) if job.identity == identity]
    return sorted(found, key=lambda job: job.identity)


def table_of(jobs: list[Job]) -> tuple[str, dict[str, float]]:
    """Return the table of the runs that are there as Markdown, and its means as metrics."""
    run = jobs[0].run
    pretrained = next((job.run.transfer.weights for job in jobs if job.run.transfer.weights), None)
    try:
        table = build_table(load_records(jobs), (), caption(run, pack_of(run.data), "Results", pretrained))
    except UserError as error:
        return f"There is no one table of these runs: {error}.", {}
    # The metric before the system: MLflow's charts make a section of what stands before the stroke.
    means = {
        accepted(f"{metric.name}/{row.key}"): row.cells[metric.name].mean
        for metric in table.metrics
        for row in table.rows
        if metric.name in row.cells and row.cells[metric.name].done
    }
    return f"{summarize(table)}\nEverything else of it: `agegender report` with the overrides of this sweep.", means


def keep_password_in_memory(config: DictConfig) -> None:
    """Move an address with a password from a sweep's configuration to the environment, which its jobs inherit.

    Hydra writes the configuration and the overrides of the jobs to disk.
    """
    uri = config.tracking.uri
    if not uri or without_password(uri) == uri:
        return
    os.environ["MLFLOW_TRACKING_URI"] = uri
    config.tracking.uri = None
    overrides = config.hydra.overrides.task
    config.hydra.overrides.task = [each for each in overrides if not each.lstrip("+").startswith("tracking.uri=")]
    config.hydra.job.override_dirname = without_password(config.hydra.job.override_dirname)
