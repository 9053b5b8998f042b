"""Measurements in MLflow: each is a run of its own, since latency belongs to a network, a runtime and a device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agegender.runs.folder import RunFolder
from agegender.tracking.payload import Point, written
from agegender.tracking.server import IMPATIENT, SENT, connect, create_run, find_run, log_points, terminate
from agegender.tracking.target import Target, mlflow_settings, one_at_a_time, reason

if TYPE_CHECKING:
    from agegender.cost.measurement import Measurement

log = logging.getLogger(__name__)
SUFFIX = "-cost"  # of the experiment: its runs share no column with those of training


def send_costs(target: Target, measurements: Sequence[Measurement]) -> int:
    """Send measurements that are not on the server yet; return how many were. A server that fails is warned of."""
    target = replace(target, experiment=target.experiment + SUFFIX)
    sent = 0
    try:
        with mlflow_settings(**IMPATIENT):
            for measurement in measurements:
                with one_at_a_time(measurement.folder / "mlflow.json"):
                    sent += _send(target, measurement)
    except Exception as error:
        log.warning("MLflow at %s failed (%s): the measurements are in their folders", target.label, reason(error))
    return sent


def _send(target: Target, measurement: Measurement) -> bool:
    folder, subject = RunFolder(measurement.folder), measurement.subject
    client = connect(target.uri)
    run = find_run(client, target, folder)
    if run and SENT in run.data.tags:
        return False
    when = written(folder, "cost.json")
    what = {name: str(getattr(subject, name)) for name in ("network", "runtime", "precision", "threads", "batch_size")}
    tags = {**what, "tasks": ", ".join(subject.tasks), "device": measurement.device}
    name = f"{subject.network} {subject.runtime} {subject.precision}"
    run_id = (run or create_run(client, target, folder, tags, name, when)).info.run_id
    points = {f"latency_ms/{name}": value for name, value in measurement.results["latency_ms"].items()}
    points |= {f"cost/{name}": value for name, value in measurement.results.get("counts", {}).items()}
    points |= {f"cost/{name}": measurement.results.get(name) for name in ("file_bytes", "peak_bytes")}
    numbers = [Point(name, float(value), when, 0) for name, value in points.items() if value is not None]
    log_points(client, run_id, numbers)
    for file in ("cost.json", "calls.csv"):
        client.log_artifact(run_id, str(folder.path / file))
    terminate(client, run_id, "FINISHED", when)
    client.set_tag(run_id, SENT, "done")
    return True
