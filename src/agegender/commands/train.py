"""agegender train: one run, or with -m every run of an experiment that is not done yet."""

import gc
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from agegender.config.resolve import resolve_run
from agegender.config.settings import TrainSettings, settings_of
from agegender.data.pack import Pack
from agegender.errors import UserError, disk_explained
from agegender.runs.folder import RunFolder
from agegender.spec import Run
from agegender.tracking.server import check_server
from agegender.tracking.sync import follow
from agegender.training.device import check_device, gpu_claimed, resolve_trainer, runs_at_once, set_process
from agegender.training.fit import fit
from agegender.training.run_data import pack_of
from agegender.training.run_identity import identity_keys, run_folder
from agegender.training.setup import set_up

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    """Train what the configuration describes, unless its run folder is done."""
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    if not sweeping and HydraConfig.get().runtime.choices.get("experiment"):
        raise UserError("an experiment is a sweep: add -m, or leave it out and say system=... fold=...")
    try:
        train(config, sweeping)
    except Exception as error:
        # In a sweep the error is in the run folder and in the summary at the end; the other jobs go on.
        if not sweeping:
            raise
        log.error("failed: %s", error)


def train(config: DictConfig, sweeping: bool = False) -> None:
    """Train one run to its done mark, alone in its folder.

    The tracking server is asked before any work is done; in a sweep that was done once for all jobs, and a server that
    goes away later fails none of them.
    """
    run, settings = resolve_run(config), settings_of(TrainSettings, config)
    check_device(run.trainer)
    pack = pack_of(run.data)
    folder = run_folder(run, pack.digest, settings.paths.runs)
    if folder.state == "done":
        folder.tidy()
        log.info("%s is done: %s", folder.identity, folder.path)
        return
    if settings.target and not sweeping:
        check_server(settings.target)
    at_once = runs_at_once(HydraConfig.get().launcher) if sweeping else 1
    claims = gpu_claimed(run.trainer, settings.paths.runs)
    with disk_explained(folder.path), folder.claimed(), logging_to(folder), claims as trainer:
        if folder.state == "done":
            log.info("%s is done: another process has just finished it", folder.identity)
            return
        trainer = resolve_trainer(trainer, pack.images.nbytes * run.protocol.fraction, at_once=at_once)
        run = run.model_copy(update={"trainer": trainer})
        set_process(trainer.threads, run.precision)
        log.info("%s: started", folder.identity)
        set_up(folder, run, identity_keys(run, pack.digest))
        if settings.target is None:
            fit_or_record(run, pack, folder, None)
        else:
            with follow(settings.target, folder, system_metrics=settings.tracking.system_metrics) as sync:
                fit_or_record(run, pack, folder, sync)


def fit_or_record(run: Run, pack: Pack, folder: RunFolder, sync: Callable[[], None] | None) -> None:
    """Train; an error is recorded in failed.json and raised again."""
    try:
        with disk_explained(folder.path):
            fit(run, pack, folder, sync)
    except Exception as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        try:
            folder.write("failed", {"error": sentence, "traceback": traceback.format_exc()})
        except OSError as another:
            log.warning("%s cannot be written (%s); the run failed: %s", another.filename, another.strerror, sentence)
        raise
    finally:
        gc.collect()  # Lightning's objects refer to each other: a sweep would hold several runs and maps of the pack
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # or the next run would find less memory free than there is


@contextmanager
def logging_to(folder: RunFolder) -> Iterator[None]:
    """Keep a run's log messages in its folder too, as long as the disk takes them."""
    handler = logging.FileHandler(folder.log, encoding="utf-8")

    def stop(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            logging.getLogger().removeHandler(handler)
            log.warning("%s is written no further: %s", folder.log, error.strerror)
        else:  # a message that cannot be formatted
            logging.Handler.handleError(handler, record)

    handler.handleError = stop  # type: ignore[method-assign]
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        with suppress(OSError):  # what the disk did not take when it was logged
            handler.close()
