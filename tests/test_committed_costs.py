"""The raw calls that are committed, in one file beside a report, give its cost tables again."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agegender.cost.console import name_of
from agegender.cost.counts import Counts
from agegender.cost.measurement import Measurement, read_all
from agegender.report.costs import Setting, SystemCost
from agegender.report.csv_files import costs_csv

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
REPORT = RESULTS / "2026-11-26-lmtcnn-cost-utkface-tenth-quick-cpu"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the code of the report's page defines, run beside the file of calls as it stands, and `costs`."""
    folder = tmp_path_factory.mktemp("unpacked")
    (folder / REPORT.name).symlink_to(REPORT)
    blocks = re.findall(r"(?:^ {4}.*\n\n?)+", (REPORT / "README.md").read_text(), re.MULTILINE)
    code = "".join(line[4:] if line.strip() else line for line in "".join(blocks).splitlines(keepends=True))
    defined: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code, defined)
    return defined | {"costs": folder / "costs"}


def rows(file: Path) -> list[list[str]]:
    """The rows of a table without what its systems are called."""
    return [row[1:] for row in csv.reader(file.read_text().splitlines())]


def setting_of(each: Measurement) -> Setting:
    subject = each.subject
    return Setting(each.device, subject.runtime, subject.precision, subject.threads, subject.batch_size)


def test_the_folders_that_are_unpacked_give_the_tables(page: dict[str, Any]) -> None:
    networks: dict[str, SystemCost] = {}
    for each in read_all(page["costs"]):  # which compares the calls with the latencies beside them
        if each.subject.is_network:
            name = name_of(each.subject)
            measured = networks[name].measured if name in networks else {}
            networks[name] = SystemCost(Counts(**each.results["counts"]), {**measured, setting_of(each): each})
    assert costs_csv(networks) == (REPORT / "all-costs.csv").read_text()
    every, table = rows(REPORT / "all-costs.csv"), rows(REPORT / "costs.csv")
    assert len(table) == 43 and all(row in every for row in table)


def test_pandas_reads_the_calls(page: dict[str, Any]) -> None:
    measurements = page["measurements"].dropna(subset="counts")  # resizing faces has none
    medians = [np.median(np.divide(calls, 1e6)) for calls in measurements["calls"]]
    told = pd.read_csv(REPORT / "all-costs.csv")["median_ms"]
    assert sorted(medians) == pytest.approx(sorted(told), abs=1e-6)
