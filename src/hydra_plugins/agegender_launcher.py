"""What `hydra/launcher=joblib` becomes in a sweep. Hydra takes launchers from the package `hydra_plugins` only."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction


class AgegenderLauncher(Launcher):
    """Several runs of a sweep at a time; unlike joblib's own launcher, a process that dies takes one run with it."""

    def __init__(self, n_jobs: int, **_: Any) -> None:
        """Take the settings of joblib's launcher, of which the others are about its queue."""
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: Any) -> None:
        """Keep what every job is given."""
        self.shared = (hydra_context, config, task_function)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; those whose process died are missing from what is returned."""
        from agegender.commands.launch import launch

        return launch(job_overrides, initial_job_idx, self.n_jobs, *self.shared)
