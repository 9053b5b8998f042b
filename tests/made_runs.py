"""Runs that no configuration describes: for tests of what is made of finished ones."""

from collections.abc import Sequence
from pathlib import Path

from agegender.modes import get_mode
from agegender.spec import Choice, Data, Model, ProtocolChoice, Recipe, Run, System, Trainer, Transfer


def made_run(
    system: str = "lmtcnn_2_1",
    tasks: Sequence[str] = ("age", "gender"),
    *,
    title: str | None = None,
    data: str = "drawn",
    source: Path | None = None,
    protocol: str = "joint",
    mode: str = "sound",
    fold: int = 0,
    seed: int = 0,
) -> Run:
    """A run with these settings and usual others."""
    return Run(
        system=System(
            name=system,
            title=title or system,
            model=Model(name="lmtcnn_2_1", input_size=227),
            heads={task: Choice(name="softmax") for task in tasks},
        ),
        data=Data(
            name=data, title=data, source=source, size=256, allow_missing=False, pack=Path("packs/x"), settings={}
        ),
        protocol=ProtocolChoice(name=protocol, version=1),
        recipe=Recipe(
            name="quick",
            steps=300,
            batch_size=16,
            validate_every=100,
            optimizer="adamw",
            learning_rate=0.001,
            weight_decay=0.0,
            schedule=Choice.read({"name": "cosine", "warmup": 0.1}),
            dropout=0.0,
        ),
        evaluation=get_mode(mode).evaluation,
        transfer=Transfer(name="none"),
        trainer=Trainer(),
        mode=get_mode(mode).name,
        precision="32-true",
        validation="by_subject",
        seed=seed,
        fold=fold,
    )
