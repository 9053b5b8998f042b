"""The command line: `agegender COMMAND ...`, each command a Hydra application, imported when it is called."""

import io
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import agegender
from agegender.errors import UserError, closed_output, disk_explained, exit_on_user_error, one_sentence
from agegender.machine.signals import heeding_signals, number_of

COMMANDS = {
    "prepare": "read a data set, check it and decode its faces once",
    "train": "train a system on a fold, or with -m a whole experiment",
    "cost": "measure what networks cost on the runtimes of this machine",
    "export": "write a trained network as a file for a runtime, and check it",
    "report": "make tables and figures from finished runs",
    "predict": "let a trained network answer to image files",
    "track": "send finished run folders to an MLflow server",
}
RESUMED = ("prepare", "train", "cost", "track")  # the same command goes on where it was stopped
ONE_JOB = ("cost", "report")  # about all that the command line sweeps
SWEEP = {"-m", "--multirun"}

HELP = """Benchmark small networks that read age and gender from a face.

usage: agegender COMMAND [key=value ...]
       agegender --version

{commands}

A sweep, start to end:
  agegender prepare data=utkface data.source=/path/to/UTKFace.zip
  agegender train -m experiment=lmtcnn data=utkface
  agegender report experiment=lmtcnn data=utkface
  mlflow ui --backend-store-uri sqlite:///runs/mlflow.db

`agegender COMMAND --help` lists its settings; `--cfg job` shows its configuration.
Predictions are of annotated gender and annotated age group: guesses at labels, for research, not facts about a person.
"""


@closed_output()
def main() -> None:
    """Run the command named on the command line.

    A mistake of the user's ends in one sentence and status 2, a signal in one sentence and status 128 + its number.
    """
    overrides = sys.argv[1:]
    if not overrides or overrides[0] in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {command:<8} {text}" for command, text in COMMANDS.items())))
        return
    if overrides[0] == "--version":
        print(f"agegender-bench {agegender.__version__}")
        return
    command = overrides[0]
    if command not in COMMANDS:
        guess = get_close_matches(command, COMMANDS, 1)
        fail(
            f"there is no command '{command}'"
            + (f": did you mean '{guess[0]}'?" if guess else f": choose from {', '.join(COMMANDS)}")
        )
    sys.argv = [f"agegender {command}", *overrides[1:]]
    # Hydra then raises what went wrong instead of printing it over several lines.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal cannot show is written as its number, and not lost
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with heeding_signals():
            run(command, overrides[1:])
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt as stop:
        again = f"run the same command again{' to go on' if command in RESUMED else ''}"
        fail(str(stop) or f"stopped by {number_of(stop).name}: {again}", 128 + number_of(stop))


def run(command: str, overrides: Sequence[str]) -> None:
    """Start a command's Hydra application with the overrides of the command line."""
    # Here, because the list of commands is shown without Hydra.
    import logging

    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from agegender.commands.sweep import shown_when_stopped
    from agegender.config.overrides import gathered, read_overrides
    from agegender.config.settings import config_folder, setting_names

    def task(config: object) -> None:
        # Here, because Hydra answers --help and --cfg without what the command computes with.
        with exit_on_user_error():
            import_module(f"agegender.commands.{command}").main(config)

    if command == "train":  # read when torch is loaded: spinning threads slow others
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Hydra logs what `--info` shows, and logging prints a traceback where what reads it stops early, as `head` does.
    logging.raiseExceptions = not any(each.startswith(("--info", "-i")) for each in overrides)
    try:
        overrides = read_overrides(overrides)
        if command in ONE_JOB:  # which is no multirun, so it needs no -m, and one that was given changes nothing
            overrides = [word for word in overrides if word not in SWEEP]
        if command in ONE_JOB or (command == "train" and not SWEEP.isdisjoint(overrides)):
            overrides = gathered(overrides)
        sys.argv[1:] = overrides
        with disk_explained(), shown_when_stopped():
            hydra.main(version_base="1.3", config_path=config_folder(), config_name=command)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        sentence = one_sentence(error)
        unknown = re.match("there is no setting '([^']+)'", sentence)
        raise UserError(_meant(unknown[1], setting_names(), sentence) if unknown else sentence) from None


def _meant(name: str, names: Sequence[str], sentence: str) -> str:
    """Say what may have been meant by a setting that a configuration has not; else the sentence."""
    if name in names:
        return f"the setting '{name}' is not in this configuration: add it with a plus, +{name}=..."
    meant = get_close_matches(name, names, 1)
    return f"there is no setting '{name}': did you mean '{meant[0]}'?" if meant else sentence


def fail(sentence: str, status: int = 2) -> NoReturn:
    """Print one sentence and leave with a non-zero status."""
    print(f"agegender: {sentence}", file=sys.stderr)
    raise SystemExit(status)
