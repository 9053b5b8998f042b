"""Pools of processes: what is said when one of them dies."""

import os

import pytest

from agegender.errors import UserError
from agegender.machine.processes import process_pool
from agegender.machine.signals import signals_held


def test_a_process_that_dies_is_one_sentence() -> None:
    with (
        pytest.raises(UserError, match=r"^a process that draws faces died, perhaps for lack of memory: run the same"),
        process_pool(1, "draws faces") as pool,
    ):
        with signals_held():
            ended = pool.submit(os._exit, 9)
        ended.result()
