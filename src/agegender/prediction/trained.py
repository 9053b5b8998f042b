"""A finished run as something that answers: its network, and how it prepares a face."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agegender.data.transforms.preprocessing import Preprocessing, get_preprocessing
from agegender.errors import Damaged, UserError
from agegender.models.layers import BetaBatchNorm2d
from agegender.models.network import Network
from agegender.runs.config import read_run
from agegender.runs.folder import RunFolder
from agegender.spec import Evaluation
from agegender.training.fit import build_network
from agegender.training.inference import set_statistics
from agegender.training.transfer.weights import load_run_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A run's network with its evaluated weights, and its test-time settings."""

    identity: str
    data: str  # name of the data set it was trained on
    network: Network
    evaluation: Evaluation
    stored_size: int  # pixels; what an image file is resized to before a view is taken
    input_size: int
    preprocessing: Preprocessing
    precision: str
    seed: int
    labels: Mapping[str, tuple[str, ...]]  # by task: the names of its label values under the run's protocol

    @property
    def depends_on_batch(self) -> bool:
        """Whether an answer depends on the other faces of its batch."""
        return any(isinstance(norm, BetaBatchNorm2d) and norm.batch_statistics for norm in self.network.modules())


def find_run(run: str, runs: Path) -> RunFolder:
    """Return the run that `run` names: its folder, the beginning of its identity, or the MLflow run it became.

    Identities and what became of runs in MLflow are looked up in the folders under `runs`; UserError unless exactly one
    run is meant.
    """
    given = Path(run).expanduser()
    if (given / "config.yaml").exists():
        return RunFolder(given.resolve())
    folders = [RunFolder(file.parent) for file in sorted(runs.glob("*/config.yaml"))]
    found = [folder for folder in folders if folder.identity.startswith(run)]
    found = found or [folder for folder in folders if run in _mlflow_runs(folder)]
    if len(found) > 1:
        raise UserError(
            f"run={run} begins the names of {len(found)} runs, {found[0].identity} and {found[1].identity} among them: "
            "give more of the name"
        )
    if not found:
        raise UserError(
            f"run={run} is neither a run folder, nor the beginning of the name of one in {runs}, nor the MLflow run of "
            "one there: for a run that is only in MLflow, `mlflow artifacts download --run-id ... --dst-path FOLDER` "
            "and then run=FOLDER"
        )
    return found[0]


def _mlflow_runs(folder: RunFolder) -> set[str]:
    """The ids of the MLflow runs that a run folder remembers, on whatever server; none where they cannot be read."""
    try:
        return set(folder.read("mlflow").get("runs", {}).values())
    except Damaged as error:
        log.warning("%s", error)
        return set()


def load(folder: RunFolder) -> Trained:
    """Build a run's network, load its weights and set its batch norm as its evaluation did.

    UserError where the weights are missing, do not fit, or are not the ones that were evaluated.
    """
    run = read_run(folder)
    evaluation, network, weights = run.evaluation, build_network(run), _weights(folder)
    if evaluation.statistics == "reestimated" and weights != folder.weights:
        raise UserError(
            f"{folder.path} was evaluated with batch norm statistics re-estimated from training faces, and keeps none "
            f"of its own: predict with the run whose weights it shares, run={weights.parent}"
        )
    load_run_weights(network, RunFolder(weights.parent))
    if evaluation.statistics != "network":
        set_statistics(network, evaluation.statistics)
    return Trained(
        folder.read("identity").get("identity", folder.identity),
        run.data.name,
        network.eval(),
        evaluation,
        run.data.size,
        run.system.model.input_size,
        get_preprocessing(run.system.preprocessing.settings),
        run.precision,
        run.seed,
        {task: run.labels_of(task) for task in run.tasks},
    )


def _weights(folder: RunFolder) -> Path:
    """Return the file of the evaluated weights: the run's own, or those of the run that trained them."""
    if folder.weights.exists():
        return folder.weights
    donor = folder.read("weights").get("trained_by")
    if donor is None:
        remedy = "copy weights.safetensors from where it was trained" if folder.state == "done" else "finish the run"
        raise UserError(f"{folder.path} holds no weights: {remedy}")
    weights = RunFolder(folder.path.parent / donor).weights
    if not weights.exists():
        raise UserError(f"the weights of {folder.path} are those of the run {donor}: copy its folder beside it")
    return weights
