"""The command line in processes of its own: started as a user does, or forked where everything is imported already."""

import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

# Importing torch, Lightning and MLflow takes a command seconds before it reads its first word, so most commands
# here are forked from one process that has done only that. On macOS such a process must not be forked: each is new.
PROCESSES = get_context("forkserver" if sys.platform == "linux" else "spawn")
PROCESSES.set_forkserver_preload(
    [
        "agegender.report.folder",
        "agegender.training.fit",
        "agegender.commands.sweep",
        "agegender.commands.prepare",
        "agegender.commands.report",
        "agegender.commands.track",
        "agegender.commands.train",
        "mlflow.store.tracking.sqlalchemy_store",
    ]
)


def _command(words: list[str], cwd: Path, output: Path, unread: bool = False) -> None:
    """Become the command: its folder, its environment, its words and, as files, its streams.

    `unread`: standard output is a pipe that nothing reads any more.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT), number)
    if unread:
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        sys.stdout = open(1, "w", closefd=False)  # the one that was imported takes it for a file  # noqa: SIM115
    os.chdir(cwd)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    sys.argv = ["agegender", *words]
    from agegender.cli import main

    main()


def _commanded_apart(words: list[str], cwd: Path, output: Path) -> None:
    """Become the command in a process group of its own, as a shell starts it, in which Ctrl-C is heeded."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _command(words, cwd, output)


def started(*words: str, cwd: Path, output: Path) -> BaseProcess:
    """Start the command, whose streams become files in the folder `output`, as the leader of a process group."""
    process = PROCESSES.Process(target=_commanded_apart, args=(list(words), cwd, output))
    process.start()
    return process


def agegender(*words: str, cwd: Path, status: int = 0, unread: bool = False) -> str:
    """Run the command and return what it printed, both streams; with `unread` nothing reads its standard output."""
    with tempfile.TemporaryDirectory() as folder:
        process = PROCESSES.Process(target=_command, args=(list(words), cwd, Path(folder), unread))
        process.start()
        process.join(900)
        if process.is_alive():
            process.kill()
        output = "".join((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
    assert process.exitcode == status, output
    return output


def started_afresh(*words: str, cwd: Path, status: int = 0) -> str:
    """The same of a command that has to import everything, as it is at a user's."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    command = [sys.executable, "-c", "from agegender.cli import main; main()", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    return output
