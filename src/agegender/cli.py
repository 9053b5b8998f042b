"""The command line: `agegender VERB ...`, each verb a Hydra application that is imported only when it is called."""

import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import agegender
from agegender.errors import UserError, closed_output, disk_explained, one_sentence
from agegender.stopping import heeding_signals, number_of

VERBS = {
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

usage: agegender VERB [key=value ...]
       agegender --version

{verbs}

A sweep, start to end:
  agegender prepare data=utkface data.source=/path/to/UTKFace.zip
  agegender train -m experiment=lmtcnn data=utkface
  agegender report experiment=lmtcnn data=utkface
  mlflow ui --backend-store-uri sqlite:///runs/mlflow.db

`agegender VERB --help` lists what a verb can be told; `--cfg job` shows its configuration.
Predictions are of annotated gender and annotated age group: guesses at labels, for research, not facts about a person.
"""


@closed_output()
def main() -> None:
    """Run the verb named on the command line.

    A mistake of the user's ends in one sentence and status 2, a signal in one sentence and status 128 + its number.
    """
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP.format(verbs="\n".join(f"  {verb:<8} {text}" for verb, text in VERBS.items())))
        return
    if words[0] == "--version":
        print(f"agegender-bench {agegender.__version__}")
        return
    verb = words[0]
    if verb not in VERBS:
        guess = get_close_matches(verb, VERBS, 1)
        fail(
            f"there is no verb '{verb}'"
            + (f": did you mean '{guess[0]}'?" if guess else f": choose from {', '.join(VERBS)}")
        )
    sys.argv = [f"agegender {verb}", *words[1:]]
    # Hydra then raises what went wrong instead of printing it over several lines.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal cannot show is written as its number, and not lost
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with heeding_signals():
            run(verb, words[1:])
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt as stop:
        again = f"run the same command again{' to go on' if verb in RESUMED else ''}"
        fail(str(stop) or f"stopped by {number_of(stop).name}: {again}", 128 + number_of(stop))


def run(verb: str, overrides: Sequence[str]) -> None:
    """Start a verb's Hydra application with the words of the command line."""
    import logging  # `agegender --help` does without

    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if verb == "train":  # read when torch is loaded: threads that wait by spinning slow each other on a shared machine
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Hydra logs what `--info` shows, and logging prints a traceback where what reads it stops early, as `head` does.
    logging.raiseExceptions = not any(word.startswith(("--info", "-i")) for word in overrides)
    module = import_module(f"agegender.verbs.{verb}")
    try:
        from agegender.overrides import gathered, read_words

        words = read_words(overrides)
        if verb in ONE_JOB:  # which is no multirun, so it needs no -m, and one that was given changes nothing
            words = [word for word in words if word not in SWEEP]
        if verb in ONE_JOB or (verb == "train" and not SWEEP.isdisjoint(words)):
            words = gathered(words)
        sys.argv[1:] = words
        with disk_explained():
            module.main()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_sentence(error)) from None


def fail(sentence: str, status: int = 2) -> NoReturn:
    """Print one sentence and leave with a non-zero status."""
    print(f"agegender: {sentence}", file=sys.stderr)
    raise SystemExit(status)
