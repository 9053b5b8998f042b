"""Titles and names with signs that Markdown, LaTeX, spreadsheets or figures would read as their own."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agegender.prediction.answers import Answer, TaskAnswer
from agegender.prediction.output import render
from agegender.report.folder import write_report
from agegender.report.latex import to_latex
from agegender.report.markdown import name_best, to_markdown
from agegender.report.markup import MARKDOWN
from agegender.report.records import load_records
from agegender.report.table import Table, build_table
from agegender.runs.folder import RunFolder
from agegender.runs.predictions import predictions_table, predictions_text, read_predictions
from finished_runs import FACTS, finish, job, table_of

HOSTILE = "<img src=x> ![seen](http://x/y) [link](http://x) `a|b` __all__ &lt;b&gt; $\\frac$ ~~no~~ # *x*\nnew"
NAMES = ["=1+1", "+1.jpg", "-1.jpg", "@sum.jpg", "\t=1", "\r=1", "＝1", "'=1", "'quoted'", "''-1", "NA", "null", "nan",
         "a,b", 'a"b', "a\nb", "plain.jpg"]  # fmt: skip


def titled(root: Path, title: str, **facts: str) -> Table:
    one, other = (finish(job(root, name, ("age",), 0, title=title)) for name in ("one", "other"))
    return table_of([one, other], **facts)


@pytest.mark.parametrize("title", ["[ours] TinyAgeNet", "*ours*", "[1pt]", "{ours", "\n\nours\n\nnet", "`ours`"])
def test_a_line_of_a_latex_table_gives_its_beginning_to_no_command(tmp_path: Path, title: str) -> None:
    r"""`\\`, `\midrule` and `\toprule` all read a `[` that follows, over the end of the line."""
    text = to_latex(titled(tmp_path, title))
    assert not re.search(r"(\\\\|\\[a-z]+rule)\s*[\[*]", text)
    assert "\n\n" not in text.replace("\n\n\\begin{table*}", ""), "a paragraph ends \\caption"
    assert text.count("ours" if "ours" in title else "[1pt]") >= 4


def test_markdown_shows_titles_as_they_are(tmp_path: Path) -> None:
    table = titled(tmp_path, HOSTILE, experiment=HOSTILE, note=HOSTILE)
    text = to_markdown(table, {"figures/a b).png": HOSTILE})
    for line in [*text.splitlines(), *name_best(table).splitlines()]:
        bare = re.sub(r"\\.", "", line)
        assert "<img" not in bare and "`a" not in bare and "~~" not in bare and "$" not in bare, line
        assert "](" not in bare or (bare.startswith("![") and bare.endswith("](figures/a%20b%29.png)")), line
        assert "__all" not in bare and "&lt;b" not in bare.replace("&lt;img", ""), line
    heads = {len(re.findall(r"(?<!\\)\|", line)) for line in text.split("## Pooled")[1].splitlines()[2:6]}
    assert len(heads) == 1, "as many cells in each line"
    assert text.splitlines()[0].startswith("# &lt;img")


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [("lmtcnn_2_1", "lmtcnn_2_1"), ("_x_", "\\_x\\_"), ("A & B", "A & B"), ("&amp;", "&amp;amp;"), ("- a", "\\- a"),
     ("1. a", "1\\. a"), ("> a", "\\> a"), ("---", "\\---"), ("−0.3", "−0.3"), ("+1.2", "+1.2"), ("a < b", "a &lt; b")],
)  # fmt: skip
def test_markdown_escapes_what_it_must_and_no_more(plain: str, escaped: str) -> None:
    assert MARKDOWN.escape(plain) == escaped


def test_figures_take_titles_for_words(tmp_path: Path) -> None:
    jobs = [finish(job(tmp_path, "one", ("age",), fold, title="$\\frac$")) for fold in (0, 1)]
    assert write_report(load_records(jobs), (), FACTS, tmp_path / "report")


def test_names_that_begin_as_formulas_come_back_from_predictions(tmp_path: Path) -> None:
    count = len(NAMES)
    rows = pd.DataFrame({"image": NAMES, "subject": pd.array([*NAMES[:-1], pd.NA], dtype="string"), "fold": 0})
    rows["gender"] = pd.array([0] * count, dtype="Int64")
    posterior = np.full((count, 2), 0.5, np.float32)
    text = predictions_text(predictions_table(rows, {"gender": posterior}, {"gender": np.zeros(count, int)}))
    for line in csv.reader(io.StringIO(text, newline="")):
        assert line[0][0] not in "=+-@\t\r＝" and (line[1] or "x")[0] not in "=+-@\t\r＝"
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.predictions.write_text(text, encoding="utf-8", newline="")
    back = read_predictions(run.predictions)
    assert back["image"].tolist() == NAMES
    assert back["subject"].tolist()[:-1] == NAMES[:-1] and back["subject"].isna().tolist()[-1]


def test_names_that_begin_as_formulas_are_words_in_answers() -> None:
    tasks = {"gender": TaskAnswer(np.array([0.25, 0.75], np.float32), 1, ("m", "f"))}
    text = render([Answer(Path("=HYPERLINK(1)"), None, tasks)], ["gender"], "csv", "a run", 80)
    assert text.splitlines()[1].startswith("'=HYPERLINK(1),")


def test_what_a_constant_answer_has_too_is_not_best(tmp_path: Path) -> None:
    """Of two systems, both as good as the majority label in gender, and both better in age."""
    jobs = [finish(job(tmp_path, name, ("age", "gender"), 0)) for name in ("one", "other")]
    for each in jobs:
        run = each.folder
        faces = read_predictions(run.predictions)
        most = int(faces["gender_true"].mode()[0])
        constant = faces.assign(gender_pred=most, gender_p0=float(most == 0), gender_p1=float(most == 1))
        run.write_text("predictions.csv", predictions_text(constant))
        run.write("metrics", {"test/age_n": 16.0, "test/gender_n": 15.0})
        run.finish()
    table = build_table(load_records(jobs), (), {})
    assert name_best(table) == "Best mean over the folds: age exact 100.0 % (ONE and OTHER)."
    means = to_markdown(table, {}).split("## What was run")[0]
    assert "**100.0**" in means and "**60.0**" not in means and means.count("| 60.0 |") == 3
