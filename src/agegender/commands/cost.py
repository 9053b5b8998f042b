"""agegender cost: what the networks of an experiment cost on the runtimes of this machine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
import joblib
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from agegender.config.kinds import check_values
from agegender.config.settings import config_folder
from agegender.errors import UserError, exit_on_user_error
from agegender.machine.memory import free_memory

if TYPE_CHECKING:
    from agegender.cost.measurement import Measurement, Subject
    from agegender.cost.session import Bench

log = logging.getLogger(__name__)
NOT_SWEPT = ("fold", "evaluation", "validation", "seed")  # what no cost depends on


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="cost")
def main(config: DictConfig) -> None:
    """Measure what is missing, print the table of what is there."""
    with exit_on_user_error():
        cost(config)


def cost(config: DictConfig) -> list[Measurement]:
    """List the subjects of the command line, measure those of which too few calls are kept, print them all."""
    from agegender.config.jobs import overrides_of
    from agegender.cost.measurement import device, folder_of, read
    from agegender.cost.session import measure_all, missing
    from agegender.cost.table import print_costs
    from agegender.runtimes import get_runtime

    check_values(config)
    hydra_config = HydraConfig.get()
    overrides = overrides_of(config, hydra_config.overrides.task, own=("calls", "progress"))
    params = {key: value for key, value in (hydra_config.sweeper.params or {}).items() if key not in NOT_SWEPT}
    configs, subjects = subjects_of(overrides, params)
    bench = bench_of(config, configs)
    left = missing(subjects, bench)
    log.info("%d measurements: %d kept, %d to make", len(subjects), len(subjects) - len(left), len(left))
    if left:
        measure_all(left, bench)
    found = [read(folder_of(subject, device(get_runtime(subject.runtime).device), bench.costs)) for subject in subjects]
    measured = [each for each in found if each is not None]
    track_costs(config, measured)
    print_costs(measured)
    return measured


def subjects_of(overrides: list[str], params: dict[str, str]) -> tuple[dict[str, DictConfig], list[Subject]]:
    """Return a configuration for each network, by its name, and everything that is to be measured of them.

    UserError where a runtime is not installed; what a runtime does not have is left out of a sweep with a notice.
    """
    from agegender.config.jobs import composed, expand
    from agegender.config.settings import preprocessing_of, tasks_of
    from agegender.cost.measurement import Subject, stage
    from agegender.runtimes import RUNTIMES, get_runtime
    from agegender.training.device import check_threads

    precisions = {precision for kind in RUNTIMES.values() for precision in kind.precisions}
    left_out: dict[tuple[str, str], None] = {}
    configs: dict[str, DictConfig] = {}
    subjects: dict[Subject, None] = {}
    jobs = expand(overrides, params)
    for job in jobs:
        config = composed("cost", job)
        kind, how = get_runtime(config.runtime.name), config.runtime
        threads = joblib.cpu_count() if how.threads == "all" else how.threads
        check_threads("runtime.threads", threads)
        if how.precision not in kind.precisions and how.precision in precisions and len(jobs) > 1:
            left_out.setdefault((kind.title, how.precision))
            continue
        kind.check(how.precision)
        size, tasks = config.system.model.input_size, tuple(tasks_of(config))
        check_batch(how.batch_size, size)
        subject = Subject(config.system.model.name, tasks, kind.name, how.precision, threads, how.batch_size, size)
        configs.setdefault(_network_key(subject), config)
        subjects.setdefault(subject)
    for title, precision in left_out:
        log.info("%s has no %s: left out", title, precision)
    if not subjects:
        raise UserError("none of these runtimes has that precision: see `agegender cost --help`")
    if len(sizes := {subject.size for subject in subjects}) > 1:
        raise UserError(f"the networks see faces of {sorted(sizes)} pixels: measure those of one size at a time")
    for each in list(subjects):
        name = stage(preprocessing_of(configs[_network_key(each)]).name)
        subjects.setdefault(Subject(name, (), "torch", "float32", each.threads, each.batch_size, each.size))
    return configs, list(subjects)


def check_batch(faces: int, size: int) -> None:
    """Refuse more faces a call, of (size, size) pixels in float32, than half of the free memory holds."""
    most = free_memory() // (2 * 3 * 4 * size**2)
    if faces > most:
        raise UserError(
            f"runtime.batch_size={faces}: half of the free memory holds {most} faces of {size} pixels: choose fewer "
            "faces, or free some memory"
        )


def _network_key(subject: Subject) -> str:
    return "-".join([subject.network, *subject.tasks])


def bench_of(config: DictConfig, configs: dict[str, DictConfig]) -> Bench:
    """Take real training faces from the pack, for inputs and for calibration; build networks as they run on a phone."""
    import numpy as np
    import torch

    from agegender.config.settings import pack_of, preprocessing_of
    from agegender.cost.measurement import stage
    from agegender.cost.session import Bench
    from agegender.training.fit import build_network
    from agegender.training.parts import faces_of

    networks = {}
    for key, each in configs.items():
        each.mode = "sound"  # running statistics: an answer must not depend on the faces beside it
        networks[key] = each
    preprocessings = {key: preprocessing_of(each) for key, each in configs.items()}
    preprocessings |= {stage(each.name): each for each in preprocessings.values()}
    first = next(iter(configs.values()))
    train = faces_of(first, pack_of(first))["train"]
    rows = np.random.default_rng(0).permutation(len(train.table))[: config.calibration_faces]
    return Bench(
        build=lambda subject: build_network(networks[_network_key(subject)]),
        preprocessing=lambda subject: preprocessings[_network_key(subject)],
        stored=torch.as_tensor(train.stored(rows)),
        size=first.system.model.input_size,
        calls=config.calls,
        costs=Path(config.paths.costs),
        progress=config.progress,
    )


def track_costs(config: DictConfig, made: list[Measurement]) -> None:
    """Send what was measured to MLflow, a run each; what is measured stays measured where that fails."""
    from agegender.training.setup import tracking_target

    target = tracking_target(config)
    if target is None or not made:
        return
    from agegender.tracking.costs import send_costs

    sent = send_costs(target, made)
    log.info("%d measurements sent to %s", sent, target.label)
