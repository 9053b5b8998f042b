"""A linear SVM on the features of a frozen backbone, written into the network's heads."""

import logging
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agegender.data.batches import Faces
from agegender.data.datamodule import FaceData
from agegender.metrics import headline_values
from agegender.models.network import Network
from agegender.runs.folder import RunFolder
from agegender.spec import Run
from agegender.tasks import get_task
from agegender.training.device import computing_device
from agegender.training.evaluation import images_of
from agegender.training.inference import compute

NEVER = -1e4  # the score of a label that no training face has: its probability is 0 in float32
log = logging.getLogger(__name__)


def fit_svm(run: Run, network: Network, data: FaceData, folder: RunFolder) -> dict[str, float]:
    """Fit an SVM for each task and return its share of right answers on validation, `validation/<task>`, 0..1.

    Of `transfer.C` the value with the most right answers on the validation faces is taken, the smallest of equals. All
    faces are seen as validation sees them: whole, without augmentation. The SVMs become the network's heads, so
    evaluation, predictions, export and `predict` go on as with any network. A head's posterior is then the softmax of
    the decision function: scores that rank labels, not calibrated probabilities.
    """
    network.to(computing_device(run.trainer)).eval()
    features = {split: _features(network.backbone, data, split, run) for split in ("train", "validation")}
    shares, chosen = {}, {}
    for task, head in network.heads.items():
        (x, y), (held_out, truth) = (_labelled(features[split], data.splits[split], task) for split in features)
        fits = [(*_affine(x, y, len(get_task(task).labels), c, run.seed), c) for c in sorted(run.transfer.C or ())]
        scores = [_right(task, truth, (held_out @ w.T + b).argmax(1)) for w, b, _ in fits]
        best = int(np.argmax(scores))
        weight, bias, chosen[task] = fits[best]
        _write(head, weight, bias)
        if len(truth):
            shares[f"validation/{task}"] = scores[best]
    folder.write("transfer", folder.read("transfer") | {"C": chosen})
    log.info("%s: C %s", folder.identity, ", ".join(f"{task} {c:g}" for task, c in chosen.items()))
    return shares


def _right(task: str, truth: NDArray[np.int64], answer: NDArray[np.int64]) -> float:
    """Return the share of right answers, 0 where there is no face."""
    return float(headline_values(get_task(task), truth, answer).mean()) if len(truth) else 0.0


def _features(backbone: nn.Module, data: FaceData, split: str, run: Run) -> NDArray[np.float64]:
    """Return what the backbone makes of each face of a split, in the order of the table: (N, D)."""
    batches = compute(backbone, images_of(data.whole(split)), computing_device(run.trainer), run.precision)
    return torch.cat([each.float().cpu() for each in batches]).double().numpy()


def _labelled(features: NDArray[np.float64], faces: Faces, task: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return features and labels, 0..K-1, of the faces that have one."""
    labels = faces.table[get_task(task).column]
    return features[labels.notna().to_numpy()], labels.dropna().to_numpy(np.int64)


def _affine(
    x: NDArray[np.float64], y: NDArray[np.int64], labels: int, c: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit scaler and SVM to features (N, D) and labels (N,); return the decision function as weight (K, D), bias (K,).

    Of two classes the SVM has one decision value d; they get -d/2 and d/2, whose softmax is the sigmoid of d.
    """
    # Here, because its import takes a second that other runs need not wait for.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    weight, bias = np.zeros((labels, x.shape[1])), np.full(labels, NEVER)
    present = np.unique(y)
    bias[present] = 0.0
    if len(present) < 2:  # nothing to tell apart
        return weight, bias
    scaler = StandardScaler().fit(x)
    svm = LinearSVC(C=c, dual="auto", random_state=seed, max_iter=10_000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        svm.fit(scaler.transform(x), y)
    if any(issubclass(each.category, ConvergenceWarning) for each in caught):
        log.warning("the SVM with C=%g did not converge in %d iterations", c, svm.max_iter)
    w, b = svm.coef_ / scaler.scale_, svm.intercept_ - svm.coef_ @ (scaler.mean_ / scaler.scale_)
    if len(present) == 2:
        w, b = np.concatenate([-w / 2, w / 2]), np.concatenate([-b / 2, b / 2])
    weight[present], bias[present] = w, b
    return weight, bias


def _write(head: nn.Module, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    assert isinstance(head, nn.Linear)
    for parameter, values in ((head.weight, weight), (head.bias, bias)):
        parameter.data.copy_(torch.from_numpy(values))
