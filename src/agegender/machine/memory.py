"""How much memory a process may still take: of the machine's, and of what a container or a scheduler leaves it."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # Linux; elsewhere there is no such limit
# The files of a control group by the kernel's version of them: the limit, what is used, and in memory.stat what of that
# is only a cache of files (kernel documentation: cgroup-v2, and cgroup-v1/memory).
FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """Return the bytes that are free for this process: the least of the machine and of every group it is in."""
    return max(0, min([int(psutil.virtual_memory().available), *_left(cgroups, own)]))


def _left(cgroups: Path, own: Path) -> Iterator[int]:
    """Yield what is left of each limit on memory that holds for this process.

    A limit of a group holds for those inside it. In a container the names of the outer groups may lead nowhere here.
    """
    if not own.exists():
        return
    for line in own.read_text(encoding="utf-8").splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        kind = "memory" if kinds else ""
        inside = PurePosixPath(name.strip("/"))
        for group in (inside, *inside.parents):
            left = _left_of(cgroups / kind / group, *FILES[kind])
            if left is not None:
                yield left


def _left_of(group: Path, limit: str, used: str, cache: str) -> int | None:
    """Return the bytes left of a group's limit; None where it has none."""
    try:
        most = (group / limit).read_text(encoding="utf-8").strip()
        if most == "max":
            return None
        pages = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        return int(most) - int((group / used).read_text(encoding="utf-8")) + int(pages[cache])
    except (OSError, KeyError):
        return None
