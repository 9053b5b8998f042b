"""What a run was made with: commit, versions, hardware. Recorded, never part of a run's identity."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("agegender-bench", "torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "pillow", "mlflow")


def describe_environment(accelerator: str = "auto", gpu: int | None = None) -> dict[str, object]:
    """Facts about this process, which trains on `accelerator`, there on the GPU of this number: JSON values only."""
    import torch

    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **_commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": accelerator,
            "gpu": torch.cuda.get_device_name(gpu) if torch.cuda.is_available() and accelerator != "cpu" else None,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def version(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, object]:
    """The commit of the checkout this package runs from, and whether its files differ from it; None when installed."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout
        changed = ["git", "status", "--porcelain", "--", "src", "conf", "experiments/*.yaml"]
        dirty = subprocess.run(changed, cwd=root, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit.strip(), "dirty": bool(dirty.strip())}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if platform.system() == "Darwin":  # where platform.processor() is "arm" for all of them
        named = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return named.stdout.strip() or platform.machine()
    board = Path("/proc/device-tree/model")  # of most ARM systems
    if board.exists():
        return board.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return platform.processor() or platform.machine()
