"""agegender report: tables and figures from the run folders of an experiment."""

import logging
import shlex
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from agegender.config.kinds import check_values
from agegender.config.settings import config_folder, plain
from agegender.errors import UserError, exit_on_user_error

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="report")
def main(config: DictConfig) -> None:
    """Report on the runs of an experiment that are there; missing ones are shown as missing."""
    with exit_on_user_error():
        report(config)


def report(config: DictConfig) -> None:
    """List the jobs, read their run folders, write the report."""
    from agegender.config.jobs import list_jobs, overrides_of
    from agegender.config.settings import pack_of
    from agegender.report.caption import caption
    from agegender.report.costs import load_costs
    from agegender.report.folder import write_report
    from agegender.report.records import load_records, progress
    from agegender.tracking.target import without_password

    check_values(config)
    hydra_config = HydraConfig.get()
    experiment = hydra_config.runtime.choices.get("experiment")
    if not experiment:
        raise UserError("report needs an experiment, and one alone: agegender report experiment=lmtcnn, say")
    overrides = overrides_of(config, hydra_config.overrides.task, own=("folder",))
    jobs = list_jobs(overrides, hydra_config.sweeper.params)
    records = load_records(jobs)
    if all(record.state == "missing" for record in records):
        command = without_password(shlex.join(["agegender", "train", "-m", *overrides]))
        raise UserError(
            f"none of the {len(jobs)} runs of experiment={experiment} is in {config.paths.runs}: run {command}"
        )
    log.info("%s", progress(records))
    table = plain(config.table) if "table" in config else {}
    facts = caption(jobs[0].config, pack_of(jobs[0].config), table.get("title") or experiment)
    folder = Path(config.folder or Path(config.paths.reports) / experiment)
    costs = load_costs(jobs, Path(config.paths.costs))
    for file in write_report(records, table.get("published") or [], facts, folder, costs, table.get("reference", "")):
        log.info("%s", file)
