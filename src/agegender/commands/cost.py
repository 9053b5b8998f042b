"""agegender cost: what the networks of an experiment cost on the runtimes of this machine."""

import logging

import joblib
import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from agegender.config.jobs import composed, expand, overrides_of
from agegender.config.resolve import resolve_run
from agegender.config.settings import CostSettings, settings_of
from agegender.cost.console import print_costs
from agegender.cost.measurement import Measurement, Subject, device, folder_of, read, stage
from agegender.cost.session import Bench, measure_all, missing
from agegender.data.transforms.preprocessing import get_preprocessing
from agegender.errors import UserError
from agegender.machine.memory import free_memory
from agegender.runs.job import REPEATS
from agegender.runtimes.catalogue import RUNTIMES, get_runtime
from agegender.spec import Run
from agegender.tracking.measurements import send_costs
from agegender.training.device import check_threads
from agegender.training.fit import build_network
from agegender.training.run_data import faces_of, pack_of

log = logging.getLogger(__name__)
NOT_SWEPT = (*REPEATS, "evaluation", "validation")  # what no cost depends on


def main(config: DictConfig) -> None:
    """List the subjects of the command line, measure those of which too few calls are kept, print them all."""
    settings, hydra_config = settings_of(CostSettings, config), HydraConfig.get()
    overrides = overrides_of(config, hydra_config.overrides.task, own=("calls", "progress"))
    params = {key: value for key, value in (hydra_config.sweeper.params or {}).items() if key not in NOT_SWEPT}
    runs, subjects = subjects_of(overrides, params)
    bench = bench_of(settings, runs)
    left = missing(subjects, bench)
    log.info("%d measurements: %d kept, %d to make", len(subjects), len(subjects) - len(left), len(left))
    if left:
        measure_all(left, bench)
    found = [read(folder_of(subject, device(get_runtime(subject.runtime).device), bench.costs)) for subject in subjects]
    measured = [each for each in found if each is not None]
    track_costs(settings, measured)
    print_costs(measured)


def subjects_of(overrides: list[str], params: dict[str, str]) -> tuple[dict[str, Run], list[Subject]]:
    """Return a run for each network, by its name, and everything that is to be measured of them.

    UserError where a runtime is not installed; what a runtime does not have is left out of a sweep with a notice.
    """
    precisions = {precision for kind in RUNTIMES.values() for precision in kind.precisions}
    left_out: dict[tuple[str, str], None] = {}
    runs: dict[str, Run] = {}
    subjects: dict[Subject, None] = {}
    jobs = expand(overrides, params)
    for job in jobs:
        config = composed("cost", job)
        run, how = resolve_run(config), settings_of(CostSettings, config).runtime
        kind = get_runtime(how.name)
        threads = joblib.cpu_count() if how.threads == "all" else how.threads
        check_threads("runtime.threads", threads)
        if how.precision not in kind.precisions and how.precision in precisions and len(jobs) > 1:
            left_out.setdefault((kind.title, how.precision))
            continue
        kind.check(how.precision)
        model = run.system.model
        check_batch(how.batch_size, model.input_size)
        subject = Subject(model.name, run.tasks, kind.name, how.precision, threads, how.batch_size, model.input_size)
        runs.setdefault(_network_key(subject), run)
        subjects.setdefault(subject)
    for title, precision in left_out:
        log.info("%s has no %s: left out", title, precision)
    if not subjects:
        raise UserError("none of these runtimes has that precision: see `agegender cost --help`")
    if len(sizes := {subject.size for subject in subjects}) > 1:
        raise UserError(f"the networks see faces of {sorted(sizes)} pixels: measure those of one size at a time")
    for each in list(subjects):
        name = stage(runs[_network_key(each)].system.preprocessing.name)
        subjects.setdefault(Subject(name, (), "torch", "float32", each.threads, each.batch_size, each.size))
    return runs, list(subjects)


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


def bench_of(settings: CostSettings, runs: dict[str, Run]) -> Bench:
    """Take real training faces from the pack, for inputs and for calibration; build networks as they run on a phone."""
    # Running statistics: an answer must not depend on the faces beside it.
    networks = {key: run.model_copy(update={"mode": "sound"}) for key, run in runs.items()}
    preprocessings = {key: get_preprocessing(run.system.preprocessing.settings) for key, run in runs.items()}
    preprocessings |= {stage(each.name): each for each in preprocessings.values()}
    first = next(iter(runs.values()))
    train = faces_of(first, pack_of(first.data))["train"]
    rows = np.random.default_rng(0).permutation(len(train.table))[: settings.calibration_faces]
    return Bench(
        build=lambda subject: build_network(networks[_network_key(subject)]),
        preprocessing=lambda subject: preprocessings[_network_key(subject)],
        stored=torch.as_tensor(train.stored(rows)),
        size=first.system.model.input_size,
        calls=settings.calls,
        costs=settings.paths.costs,
        progress=settings.progress,
    )


def track_costs(settings: CostSettings, made: list[Measurement]) -> None:
    """Send what was measured to MLflow, a run each; what is measured stays measured where that fails."""
    if settings.target is None or not made:
        return
    sent = send_costs(settings.target, made)
    log.info("%d measurements sent to %s", sent, settings.target.label)
