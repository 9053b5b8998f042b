"""Accuracy against latency: which points there are, and which of them nothing beats."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from agegender.cost.counts import Counts
from agegender.cost.measurement import Measurement, Subject
from agegender.metrics import METRICS
from agegender.report.costs import Setting, SystemCost, both, cost_sections, fastest, main_device, median_of, pairs_of
from agegender.report.csv_files import points_csv
from agegender.report.figures.pareto import draw_pareto
from agegender.report.markup import MARKDOWN
from agegender.report.published import read_published
from agegender.report.records import load_records
from agegender.report.table import Table, build_table
from agegender.report.tradeoff import Point, _marked, compared_metrics, points_of
from finished_runs import FACTS, finish, job

EXACT = METRICS["age_exact"]
PHONE, BOARD = "a phone", "a board"
COUNTS = Counts(1_000_000, 2_000_000, 3, 4_000_000)


def setting(device: str = PHONE, runtime: str = "torch", precision: str = "float32", threads: int = 1) -> Setting:
    return Setting(device, runtime, precision, threads, 1)


def cost(**medians: float) -> SystemCost:
    """Measured on the phone by runtime: milliseconds."""
    return SystemCost(COUNTS, {setting(runtime=runtime): measured(ms) for runtime, ms in medians.items()})


def measured(ms: float) -> Measurement:
    subject = Subject("net", ("age", "gender"), "torch", "float32", 1, 1, 227)
    return Measurement(subject, Path("x"), {"device": PHONE, "latency_ms": {"median": ms}})


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Four systems on two folds: exact 14, 12, 15 (age alone; with gender alone) and 13 of 16; `slow` beats nobody."""
    systems = {"quick": 2, "slow": 4, "pair_age": 1, "partial": 3}
    jobs = [
        finish(job(tmp_path, system, ("age",) if "_age" in system else ("age", "gender"), fold), wrong=range(wrong))
        for system, wrong in systems.items()
        for fold in (0, 1)
        if (system, fold) != ("partial", 1)
    ]
    jobs.append(job(tmp_path, "partial", ("age", "gender"), 1))
    jobs += [finish(job(tmp_path, "pair_gender", ("gender",), fold)) for fold in (0, 1)]
    age, gender = ({"backbone": "net", "tasks": (task,)} for task in ("age", "gender"))
    costs = {
        "quick": cost(torch=5.0, openvino=2.0),
        "slow": cost(torch=6.0),
        "pair_age": replace(cost(torch=4.0), **age),
        "pair_gender": replace(cost(torch=4.5), **gender),
        "partial": cost(torch=1.0),
    }
    return build_table(load_records(jobs), read_published(()), FACTS, costs)


def test_complete_networks_and_pairs_are_points_and_the_beaten_are_marked(table: Table) -> None:
    found = {point.title: point for point in points_of(table, EXACT, setting())}
    assert found.keys() == {"QUICK", "SLOW", "PAIR, AGE ONLY + gender only"}, "a fold of PARTIAL is missing"
    assert [(p.ms, p.value, p.networks, p.best) for p in found.values()] == [
        (5.0, 14 / 16, 1, True),
        (6.0, 12 / 16, 1, False),
        (8.5, 15 / 16, 2, True),
    ]
    assert [point.title for point in points_of(table, EXACT, setting(runtime="openvino"))] == ["QUICK"]


def test_an_accuracy_of_another_function_is_no_point(table: Table) -> None:
    quick = replace(table.costs["quick"], other_function=frozenset({("sound", "")}))
    other = replace(table, costs={**table.costs, "quick": quick})
    assert "QUICK" not in {point.title for point in points_of(other, EXACT, setting())}


def test_every_point_lies_within_its_panel(table: Table) -> None:
    """The panels share an axis, and the last has the least latencies."""
    figure = draw_pareto(table, EXACT)
    assert len(figure.axes) == 2
    assert all(axes.get_xlim() == (0, pytest.approx(1.1 * 8.5)) for axes in figure.axes)
    assert [axes.get_title() for axes in figure.axes] == ["OpenVINO", "torch eager"]


def test_the_points_are_there_as_numbers(table: Table) -> None:
    lines = list(csv.DictReader(points_csv(table).splitlines()))
    assert len(lines) == len(compared_metrics(table)) * 4
    assert lines[0]["system"] == "QUICK" and lines[0]["runtime"] == "openvino" and lines[0]["best"] == "1"


def test_sections_name_what_is_missing_and_add_pairs(table: Table) -> None:
    (section,) = cost_sections(table.costs, {row.system: row.title for row in table.rows}, MARKDOWN)
    assert section.title == "Cost: a phone; 1 thread, batch 1"
    lines = {line[0]: line[1:] for line in section.body}
    assert lines["SLOW"] == ["1,000,000", "2.0", "4.00", "missing", "6.00"]
    assert lines["PAIR, AGE ONLY + PAIR_GENDER"] == ["2,000,000", "4.0", "8.00", "missing", "8.50"]


def test_the_fastest_runtime_is_that_of_one_device() -> None:
    many = SystemCost(COUNTS, {setting(): measured(5.0), setting(BOARD): measured(3.0)})
    assert main_device({"a": many, "b": cost(torch=1.0)}) == PHONE
    assert fastest(many, PHONE) == "5.00 (torch eager)"
    assert fastest(SystemCost(COUNTS, {setting(threads=2): measured(1.0)}), PHONE) == ""


def test_two_single_task_networks_count_as_two() -> None:
    one = cost(torch=5.0)
    of_net, of_other = ({"backbone": backbone} for backbone in ("net", "other"))
    costs = {
        "by_years": replace(one, **of_net, tasks=("age_years",)),
        "by_gender": replace(one, **of_net, tasks=("gender",)),
        "alone_age": replace(one, **of_other, tasks=("age",)),
        "by_groups": replace(one, **of_net, tasks=("age",)),
        "both": replace(one, **of_net, tasks=("age", "gender")),
    }
    assert pairs_of(costs) == [("by_years", "by_gender"), ("by_groups", "by_gender")]
    assert both(COUNTS, COUNTS) == Counts(2_000_000, 4_000_000, 6, 8_000_000)
    assert median_of([one, one], setting()) == 10.0
    assert median_of([one, SystemCost(COUNTS, {})], setting()) is None


def test_of_networks_as_accurate_the_faster_alone_is_best() -> None:
    points = [
        Point(str(ms), ms, value, 0.0, 1, False) for ms, value in ((4.0, 0.3), (13.0, 0.3), (13.0, 0.4), (13.0, 0.4))
    ]
    assert [_marked(point, points, 1).best for point in points] == [True, False, True, True]
    assert [_marked(point, points, -1).best for point in points] == [True, False, False, False]
