"""agegender report: tables and figures from the run folders of an experiment."""

import logging
import shlex

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from agegender.config.jobs import list_jobs, overrides_of
from agegender.config.settings import ReportSettings, settings_of
from agegender.errors import UserError
from agegender.report.caption import caption
from agegender.report.costs import load_costs
from agegender.report.folder import write_report
from agegender.report.records import load_records, progress
from agegender.tracking.target import without_password
from agegender.training.run_data import pack_of

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    """Report on the runs of an experiment that are there; missing ones are shown as missing."""
    settings, hydra_config = settings_of(ReportSettings, config), HydraConfig.get()
    paths, experiment = settings.paths, hydra_config.runtime.choices.get("experiment")
    if not experiment:
        raise UserError("report needs an experiment, and one alone: agegender report experiment=lmtcnn, say")
    overrides = overrides_of(config, hydra_config.overrides.task, own=("folder",))
    jobs = list_jobs(overrides, hydra_config.sweeper.params)
    records = load_records(jobs)
    if all(record.state == "missing" for record in records):
        command = without_password(shlex.join(["agegender", "train", "-m", *overrides]))
        raise UserError(f"none of the {len(jobs)} runs of experiment={experiment} is in {paths.runs}: run {command}")
    log.info("%s", progress(records))
    table, run = settings.table, jobs[0].run
    pretrained = next((job.run.transfer.weights for job in jobs if job.run.transfer.weights), None)
    facts = caption(run, pack_of(run.data), table.title or experiment, pretrained)
    folder, costs = settings.folder or paths.reports / experiment, load_costs(jobs, paths.costs)
    for file in write_report(records, table.published or [], facts, folder, costs, table.reference):
        log.info("%s", file)
