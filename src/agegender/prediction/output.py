"""Answers as a table to read, as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from agegender.prediction.answers import Answer, TaskAnswer
from agegender.spreadsheets import guard, quoting
from agegender.tasks import get_task

CAPTION = "guesses at the labels annotators gave, not facts about a person"


def render(answers: Sequence[Answer], tasks: Sequence[str], form: str, title: str, width: int) -> str:
    """Print answers as "table" (of `width` characters, under `title`), "csv" or "json"."""
    if form == "table":
        return _table(answers, tasks, title, width)
    if form == "csv":
        return _csv(answers, tasks)
    return json.dumps([_entry(answer) for answer in answers], indent=2) + "\n"


def short(task: str, answer: TaskAnswer) -> str:
    """One task's answer in a few characters."""
    word, found = _word(task, answer), get_task(task)
    return f"{word} {found.unit}" if found.measured else f"{word} {100 * answer.posterior[int(answer.choice)]:.0f} %"


def _table(answers: Sequence[Answer], tasks: Sequence[str], title: str, width: int) -> str:
    table = Table("image", title=title, caption=CAPTION)
    table.columns[0].overflow = "fold"  # a name cut short would be no name
    boxes = any(answer.box for answer in answers)
    if boxes:
        table.add_column("face (left, top, right, bottom)")
    for task in tasks:
        table.add_column(get_task(task).title, justify="right")
    for answer in answers:
        box = [", ".join(map(str, answer.box))] if answer.box else []
        table.add_row(str(answer.file), *box, *(short(task, answer.tasks[task]) for task in tasks))
    text = io.StringIO()
    Console(file=text, width=width, markup=False, emoji=False, highlight=False).print(table)
    return text.getvalue()


def _csv(answers: Sequence[Answer], tasks: Sequence[str]) -> str:
    """Columns as in a run's predictions.csv, with the label as a word beside its number."""
    boxes = any(answer.box for answer in answers)
    columns = ["image", *(("left", "top", "right", "bottom") if boxes else ())]
    for task in tasks:
        columns += [f"{task}_label", f"{task}_pred", *(f"{task}_p{k}" for k in range(len(get_task(task).labels)))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=quoting(str(answer.file) for answer in answers))
    writer.writerow(columns)
    for answer in answers:
        row: list[object] = [guard(str(answer.file)), *(answer.box or ())]
        for task in tasks:
            said = answer.tasks[task]
            row += [_word(task, said), said.choice, *(f"{p:.9g}" for p in said.posterior)]
        writer.writerow(row)
    return text.getvalue()


def _entry(answer: Answer) -> dict[str, object]:
    """One face for JSON: the answer and the probability of every label value."""
    entry: dict[str, object] = {"image": str(answer.file)} | ({"box": answer.box} if answer.box else {})
    for task, said in answer.tasks.items():
        probabilities = {label: float(f"{p:.9g}") for label, p in zip(said.labels, said.posterior, strict=True)}
        label = _word(task, said)
        if get_task(task).measured:
            entry[task] = {"value": said.choice, "unit": get_task(task).unit, "probabilities": probabilities}
        else:
            entry[task] = {"label": label, "probability": probabilities[label], "probabilities": probabilities}
    return entry


def _word(task: str, answer: TaskAnswer) -> str:
    """The label that was answered; of a measured task the number, to a tenth."""
    found = get_task(task)
    return f"{answer.choice:.1f}" if found.measured else answer.labels[int(answer.choice)]
