"""A build that is stopped goes on where it was."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from agegender.data.images import decode
from packed_faces import SIZE, build, manifest_of, picture, reopen, repaint

SCRIPT = """
import sys
from pathlib import Path

import pandas as pd
from agegender.data.build import build_pack
from agegender.errors import UserError

if __name__ == "__main__":
    root = Path(sys.argv[1])
    manifest = pd.read_csv(root / "manifest.csv", dtype="string")
    try:
        build_pack(root / "pack", root / "source", manifest, dataset="faces", size=24, settings={"groups": "partition"},
                   allow_missing=False, workers=2)
    except (KeyboardInterrupt, UserError) as error:
        sys.exit(str(error))
"""


@pytest.fixture
def script(tmp_path):
    """A program that packs 600 faces large enough to be interrupted, and the command that starts it."""
    names = [f"{number:03}.png" for number in range(600)]
    pictures = [picture(number, side=300) for number in range(3)]
    (tmp_path / "source").mkdir()
    for number, name in enumerate(names):
        (tmp_path / "source" / name).write_bytes(pictures[number % 3])
    manifest_of(names).to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]


def journaled(partial):
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line)[0] for line in (partial / "journal.jsonl").read_text().split("\n")[1:-1]]
    return []


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def heed_ctrl_c():
    """What a terminal's child does; one of a test run in the background would inherit that the signal is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(script, folder, stop, when):
    """Start the program and stop it as soon as `when(process)` holds; its exit status, what it said, its processes.

    On a busy machine it may be done before the signal comes: then it is started again.
    """
    for _ in range(5):
        shutil.rmtree(folder / "pack", ignore_errors=True)
        process = subprocess.Popen(
            script,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
        )
        wait_for(lambda process=process: when(process) or process.poll() is not None)
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if stop == signal.SIGKILL:
            process.kill()  # only the parent: its processes must notice
        elif process.poll() is None:
            os.killpg(process.pid, stop)  # what Ctrl-C in a terminal does
        _, said = process.communicate(timeout=120)
        if not (folder / "pack").exists():
            return process.returncode, said, workers
    raise AssertionError("five times the program was done before it could be stopped")


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_build_goes_on_where_it_was(tmp_path, script, stop):
    partial = tmp_path / "pack.partial"
    status, said, workers = stopped(script, tmp_path, stop, lambda process: journaled(partial))
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    done = journaled(partial)
    assert 0 < len(done) < 600
    if stop == signal.SIGINT:
        assert status == 1 and "Traceback" not in said
        assert f"of 600 images, which are kept in {partial}: run the same command again to go on" in said

    repaint(partial, done[0])
    names = pd.read_csv(tmp_path / "manifest.csv")["image"]
    build(tmp_path / "pack", tmp_path / "source", manifest_of(names.tolist()), workers=2)
    images = reopen(tmp_path / "pack").images
    assert (images[done[0]] == 77).all()
    expected = [decode((tmp_path / "source" / f"{number:03}.png").read_bytes(), SIZE) for number in range(3)]
    others = [slot for slot in range(600) if slot != done[0]]
    np.testing.assert_array_equal(images[others], np.stack(expected * 200)[others])


def test_ctrl_c_while_the_processes_start_is_quiet(tmp_path, script):
    def starting(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children()
            return any("spawn_main" in " ".join(child.cmdline()) for child in children)
        return False

    status, said, _ = stopped(script, tmp_path, signal.SIGINT, starting)
    assert status == 1 and "Traceback" not in said
    assert re.search(r"stopped at \d+ of 600 images", said)


def test_file_that_cannot_grow_is_one_sentence(script):
    """A limit on the size of files stands for a full disk: both are an error of the write."""
    done = subprocess.run(["bash", "-c", 'ulimit -f 500; exec "$@"', "-", *script], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "(File too large): mend that and run the same command again" in done.stderr
