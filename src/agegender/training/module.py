"""The one LightningModule: a network and a recipe, whatever the system."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from agegender.data.batches import Batch
from agegender.metrics import headline_values, selection_score
from agegender.models.network import Network
from agegender.tasks import NO_LABEL
from agegender.training.optimization import build_optimizer, build_schedule


def loss_of(
    network: Network, images: Tensor, labels: Mapping[str, Tensor], sigmas: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sum of the heads' losses on a batch, and each task's logits."""
    logits = network(images)
    heads: Any = network.heads  # typed loosely because a ModuleDict knows only modules
    losses = [heads[task].loss(x, labels[task], (sigmas or {}).get(task)) for task, x in logits.items()]
    return torch.stack(losses).sum(), logits


class FaceModule(pl.LightningModule):
    """Trains every head of a network on one batch and sums their losses with equal weight (LMT `train.py`).

    `rates`: factors on the learning rate by parameter name. Layers that are in evaluation mode stay in it.
    """

    def __init__(
        self,
        network: Network,
        recipe: Mapping[str, Any],
        seed: int,
        *,
        rates: Mapping[str, float] | None = None,
        compiled: bool = False,
    ):
        super().__init__()
        # Faces are stored with their channels last; convolutions that keep that order are the faster ones here.
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe, self.rates = recipe, rates
        self.seed = seed
        if compiled:
            torch.compiler.reset()  # what was compiled for another network counts against a limit and holds its graphs
        # Training only: all its batches are of one size. "reduce-overhead" replays them as CUDA graphs.
        self.training_loss = torch.compile(loss_of, mode="reduce-overhead", dynamic=False) if compiled else loss_of
        self._validation: list[dict[str, tuple[Tensor, Tensor]]] = []

    def head(self, task: str) -> Any:
        """The head of a task; typed loosely because a ModuleDict knows only modules."""
        return self.network.heads[task]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make dropout a function of seed and step, so that a resumed run goes on as if it had not been stopped."""
        torch.manual_seed((self.seed << 32) + self.global_step)
        for task in self.network.heads:
            self.head(task).progress.fill_(self.global_step / self.recipe["steps"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, _ = self.training_loss(self.network, batch["images"], batch["labels"], batch["sigmas"])
        # A copy, as the next replay of a CUDA graph writes its loss into the same place.
        self.log("train/loss", loss.detach().clone(), prog_bar=True, batch_size=len(batch["rows"]))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        loss, logits = loss_of(self.network, batch["images"], batch["labels"], batch["sigmas"])
        self.log("val/loss", loss, on_epoch=True, batch_size=len(batch["rows"]))
        answers = {task: (self.head(task).decide(self.head(task).posterior(x))) for task, x in logits.items()}
        self._validation.append({task: (answer, batch["labels"][task]) for task, answer in answers.items()})

    def on_validation_epoch_end(self) -> None:
        """Log how right the answers are, by task, and the mean of that, which selects the checkpoint of the sound mode.

        The share of right answers; of a measured task the mean absolute error, which counts in the mean as one less its
        share of the range of values.
        """
        scores = []
        for task in self.network.heads:
            answer = torch.cat([step[task][0] for step in self._validation])
            truth = torch.cat([step[task][1] for step in self._validation])
            known, label_space = truth != NO_LABEL, self.head(task).task
            if known.any():
                value = headline_values(label_space, truth[known], answer[known]).mean()
                self.log(f"val/{task}", value)
                scores.append(selection_score(label_space, value))
        self.log("val/score", torch.stack(scores).mean(), prog_bar=True)
        self._validation.clear()

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.network, self.recipe, self.rates)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, build_schedule(self.recipe))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
