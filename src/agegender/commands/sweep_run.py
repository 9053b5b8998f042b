"""What a sweep's own run in MLflow shows: which sweep it is, what its runs are called, and their table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from agegender.errors import UserError

if TYPE_CHECKING:
    from agegender.config.jobs import Job

# A sweep that is narrowed or goes on with more folds is the same; the weights a fold starts from are its own.
NOT_SHARED = ("fold", "weights")
# What tells runs of a sweep apart and is in their names already.
NAMED = ("system", "fold", "seed", "evaluation", "validation", "transfer", "training_share")


def sweep_name(experiment: str, jobs: list[Job]) -> str:
    """Name a sweep after its experiment and everything its runs are, whatever the order and the folds of its jobs."""
    kept = {
        json.dumps({key: value for key, value in job.keys.items() if key not in NOT_SHARED}, sort_keys=True)
        for job in jobs
    }
    digest = hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()[:8]
    return f"{experiment.replace('/', '_')}-{digest}"


def sweep_facts(experiment: str, first: DictConfig, overrides: list[str]) -> dict[str, Any]:
    """Return the title and the tags of a sweep's run, and what it shows until there is a table."""
    tags = {"experiment": experiment, "data": first.data.name, "protocol": first.protocol.name, "mode": first.mode}
    return {
        "title": f"{experiment}: {first.data.title}, {first.protocol.name}, {first.recipe.name}, {first.mode}",
        "tags": tags | {"command": " ".join(["agegender train -m", *overrides])},
        "description": "This sweep is under way; its table will stand here.",
        "metrics": {},
        "status": "RUNNING",
    }


def swept_values(jobs: list[Job]) -> list[list[str]]:
    """Return for each job the swept values, "recipe.steps 300", that its run's name does not tell by itself."""
    overrides = [dict(word.lstrip("+").split("=", 1) for word in job.overrides if "=" in word) for job in jobs]
    keys = [key for key in dict.fromkeys(key for job in overrides for key in job) if key.split(".")[0] not in NAMED]
    swept = [key for key in keys if len({job.get(key) for job in overrides}) > 1]
    return [[f"{key} {job[key]}" for key in swept if key in job] for job in overrides]


def whole_sweep(config: DictConfig, jobs: list[Job], params: Mapping[str, str]) -> list[Job]:
    """The jobs of the experiment that a sweep, perhaps narrowed, belongs to: the parent run shows them all.

    `params` is all that the experiment sweeps.
    """
    from agegender.config.jobs import expand, list_jobs

    if not params:
        return jobs
    rows = {"system", "fold"} | ({"evaluation", "validation", "seed", "transfer", "training_share"} & params.keys())
    overrides = [word for word in config.hydra.overrides.task if word.split("=", 1)[0] not in rows]
    try:
        return list_jobs(overrides, params) if len(expand(overrides, params)) > len(jobs) else jobs
    except UserError:  # what the command says does not fit the others: its runs are a sweep of their own
        return jobs


def earlier_jobs(runs: Mapping[str, list[str]], jobs: list[Job]) -> list[Job]:
    """The jobs of earlier commands of the same sweep beside these; `runs` holds the overrides of each by identity."""
    from agegender.config.jobs import list_jobs

    found: list[Job] = []
    for identity in runs.keys() - {job.identity for job in jobs}:
        with suppress(UserError):  # its data may not be there any more
            found += [job for job in list_jobs(runs[identity], None) if job.identity == identity]
    return sorted(found, key=lambda job: job.identity)


def table_of(jobs: list[Job]) -> tuple[str, dict[str, float]]:
    """Return the table of the runs that are there as Markdown, and its means as metrics."""
    from agegender.config.settings import pack_of
    from agegender.report.caption import caption
    from agegender.report.markdown import summarize
    from agegender.report.records import load_records
    from agegender.report.table import build_table
    from agegender.tracking.payload import accepted

    first = jobs[0].config
    try:
        table = build_table(load_records(jobs), (), caption(first, pack_of(first), "Results"))
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
