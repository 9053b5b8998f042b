"""Compare LMTCNN-2-1 on the fastest runtime with torch eager in its default layout: what the right runtime is worth.

One face at a time on one thread. Every network on every runtime that is installed takes its turn in each round; above
the last line stand the other ratios: to channels last, to Levi-Hassner on the same runtime, ExecuTorch to ONNX Runtime
for every LMTCNN, int8 to float32 in time and in bytes. Inputs and calibration are noise, which changes no latency.

    python benchmarks/runtime_speedup.py [--rounds 5] [--calls 20]
                                         [--runtimes torch torch_channels_last onnxruntime openvino executorch litert]

The last line is torch eager's median over the fastest runtime's: median (lowest to highest round).
"""

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from agegender.cost.latency import measure
from agegender.models.network import create_model
from agegender.runtimes.catalogue import RUNTIMES
from agegender.runtimes.runtime import Conversion, Logits, files_of
from ratios import print_ratio

NETWORKS = ("lmtcnn_1_1", "lmtcnn_2_1", "levi_hassner_tf")


class Key(NamedTuple):
    """A network on a runtime."""

    network: str
    runtime: str
    precision: str


def installed() -> list[str]:
    here = {name: runtime for name, runtime in RUNTIMES.items() if runtime.device == "cpu"}
    return [name for name, runtime in here.items() if all(map(find_spec, runtime.modules))]


def convert(key: Key, folder: Path, images: torch.Tensor) -> Path:
    torch.manual_seed(0)
    model = Logits(create_model(key.network).eval())
    file = folder / f"{'-'.join(key)}{RUNTIMES[key.runtime].suffix}"
    seen = list(torch.split(images, 1)) if key.precision == "int8" else []
    RUNTIMES[key.runtime].convert(Conversion(model, images[:1], key.precision, seen, {}), file)
    return file


def compare(name: str, times: dict[Key, np.ndarray], one: Key, other: Key) -> np.ndarray | None:
    """Print and return the ratio of two medians in every round, where both were measured."""
    if one not in times or other not in times:
        return None
    ratios: np.ndarray = times[one] / times[other]
    print(f"{name}: {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20, help="of each in a round")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=installed())
    args = parser.parse_args()
    if "torch" not in args.runtimes:
        parser.error("--runtimes must name torch, which the others are compared with")
    images = torch.randn(16, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    keys = [
        Key(network, runtime, precision)
        for network in NETWORKS
        for runtime in args.runtimes
        for precision in ("float32", "int8")
        if precision in RUNTIMES[runtime].precisions
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = {key: convert(key, Path(folder), images) for key in keys}
        sizes = {key: sum(part.stat().st_size for part in files_of(file)) for key, file in files.items()}
        sessions: dict[str, Callable[[], object]] = {}
        for key, file in files.items():
            session = RUNTIMES[key.runtime].open(file, 1)
            sessions["-".join(key)] = lambda session=session: session(images[:1].numpy())  # type: ignore[misc]
        rounds = [measure(sessions, args.calls)[0] for _ in range(args.rounds)]
    times = {key: np.array([np.median(found["-".join(key)]) for found in rounds]) / 1e6 for key in keys}
    for key in keys:
        print(f"{key.network} {key.runtime} {key.precision}: {np.median(times[key]):.2f} ms, {sizes[key] / 1e6:.2f} MB")
    print_claims(times, sizes)


def print_claims(times: dict[Key, np.ndarray], sizes: dict[Key, int]) -> None:
    ours = [key for key in times if key.network == "lmtcnn_2_1" and key.precision == "float32"]
    best = min(ours, key=lambda key: float(np.median(times[key])))
    print(f"the fastest for lmtcnn_2_1 in float32: {best.runtime}")
    compare("channels last / fastest", times, best._replace(runtime="torch_channels_last"), best)
    compare("levi_hassner_tf / lmtcnn_2_1 there", times, best._replace(network="levi_hassner_tf"), best)
    for network in ("lmtcnn_1_1", "lmtcnn_2_1"):
        pair = [Key(network, runtime, "float32") for runtime in ("executorch", "onnxruntime")]
        compare(f"executorch / onnxruntime, {network}", times, *pair)
    for key in [key for key in times if key.precision == "int8"]:
        whole = key._replace(precision="float32")
        compare(f"float32 / int8, {key.network}, {key.runtime}", times, whole, key)
        print(f"  int8 / float32 bytes: {sizes[key] / sizes[whole]:.3f}")
    eager = times[best._replace(runtime="torch")]
    print_ratio((eager / times[best]).tolist(), digits=2)


if __name__ == "__main__":
    main()
