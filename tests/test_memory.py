"""What memory is free in a container or in a job of a scheduler: control groups of both kinds, as files."""

from pathlib import Path

import psutil
import pytest

from agegender.machine.memory import CGROUPS, OWN, free_memory

MEGABYTE = 10**6
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


def group(folder: Path, names: tuple[str, str, str], limit: int | str, used: int, cache: int) -> None:
    """Write a control group as the kernel shows it, in megabytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit if isinstance(limit, str) else limit * MEGABYTE}\n")
    (folder / names[1]).write_text(f"{used * MEGABYTE}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cache * MEGABYTE}\nactive_file 7\n")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def test_the_limit_of_a_job_or_of_what_it_is_in_counts(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/slurm/job_7/step_0\n")
    group(tmp_path / "slurm/job_7/step_0", V2, "max", 30, 10)
    group(tmp_path / "slurm/job_7", V2, 100, 70, 20)
    group(tmp_path / "slurm", V2, 900, 500, 0)
    assert free_memory(tmp_path, own) == 50 * MEGABYTE, "the cache of files is given up when memory is short"
    group(tmp_path / "slurm", V2, 900, 880, 0)
    assert free_memory(tmp_path, own) == 20 * MEGABYTE


def test_a_container_sees_its_own_group_at_the_root(tmp_path: Path, own: Path) -> None:
    own.write_text("12:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n")
    group(tmp_path / "memory", V1, 64, 60, 6)
    assert free_memory(tmp_path, own) == 10 * MEGABYTE
    group(tmp_path / "memory", V1, 64, 90, 6)  # the limit was lowered
    assert free_memory(tmp_path, own) == 0


def test_without_a_limit_it_is_the_machines(tmp_path: Path, own: Path) -> None:
    own.write_text("4:memory:/\n0::/\n")
    group(tmp_path / "memory", V1, str(2**63 - 4096), 60, 6)  # how the first version says that there is none
    unlimited = [free_memory(tmp_path, own), free_memory(tmp_path, tmp_path / "nowhere")]  # macOS has no such file
    for free in unlimited:
        assert free == pytest.approx(psutil.virtual_memory().available, rel=0.5)
    assert 0 < free_memory(CGROUPS, OWN) <= psutil.virtual_memory().total
