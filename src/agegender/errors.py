"""Mistakes a user can mend, and how they end a command."""

import errno
import os
import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

ELSEWHERE = "choose a place that can be written, or ask for the right to write there"
DISK_ERRORS = {
    errno.EACCES: ELSEWHERE,
    errno.EPERM: ELSEWHERE,
    errno.EROFS: ELSEWHERE,
    errno.EEXIST: "a file of this name is there, choose another",
    errno.ENOTDIR: "a part of this path is a file, choose another",
    errno.EISDIR: "it is a folder, name a file",
    errno.ENAMETOOLONG: "choose shorter names",
    **dict.fromkeys(FULL, "make room and run the same command again; what was written before is kept"),
}
# What Hydra loads from packages that the suite does without.
PLUGINS = {
    "sweeper/optuna": "hydra-optuna-sweeper",
    "sweeper/ax": "hydra-ax-sweeper",
    "sweeper/nevergrad": "hydra-nevergrad-sweeper",
    "launcher/joblib": "hydra-joblib-launcher",
    "launcher/ray": "hydra-ray-launcher",
    "launcher/rq": "hydra-rq-launcher",
    "launcher/submitit_local": "'agegender-bench[slurm]'",
    "launcher/submitit_slurm": "'agegender-bench[slurm]'",
}


class UserError(Exception):
    """A mistake the user can mend: one sentence naming the file or value and the remedy, shown without a traceback."""


class Damaged(UserError):
    """A file that was written whole and cannot be used any more: what else there is goes on without it."""


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """End the command with the sentence of a UserError and status 2, before Hydra dresses it up.

    What a disk refuses is one too.
    """
    try:
        with disk_explained():
            yield
    except UserError as error:
        print(f"agegender: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def disk_explained(place: Path | str | None = None) -> Iterator[None]:
    """Raise a UserError for what a disk refuses, about the file that the error names or else about this place.

    Without a place, errors that may be the suite's own, such as a file that is not there, are left as they are, and
    those that name no file.
    """
    try:
        yield
    except OSError as error:
        file, known = error.filename or place, error.errno in DISK_ERRORS
        if file is None or not (known or place) or error.errno is None:
            raise
        if isinstance(error, ConnectionError | TimeoutError):
            raise
        what = "has no room on its disk" if error.errno in FULL else "cannot be read or written"
        remedy = DISK_ERRORS.get(error.errno, "mend that and run the same command again")
        raise UserError(f"{os.fsdecode(file)} {what} ({os.strerror(error.errno)}): {remedy}") from error


@contextmanager
def closed_output() -> Iterator[None]:
    """End quietly, as other programs do, where what reads the output wants no more of it, as `head` does."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        unread = isinstance(error, BrokenPipeError) and _is_unread(sys.stdout.fileno())
        if not unread and (error.errno not in FULL or error.filename is not None):
            raise  # it is not about the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        if unread:
            raise SystemExit(141) from None  # what a shell reports of a program that SIGPIPE ended
        print(f"agegender: the output could not be written ({error.strerror}): make room for it", file=sys.stderr)
        raise SystemExit(2) from None


def _is_unread(pipe: int) -> bool:
    """Whether nothing reads the other end of a pipe any more."""
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def one_sentence(error: Exception) -> str:
    """Say in one sentence what Hydra found wrong with the command line or the configuration."""
    text = str(error) or str(error.__cause__)
    plugin = re.search(r"(?:Could not find|Could not load) 'hydra/([^']+)'", text)
    if plugin and plugin[1] in PLUGINS:
        group, name = plugin[1].split("/")
        return f"hydra/{group}={name} is not installed: pip install {PLUGINS[plugin[1]]}"
    missing = re.search(r"Could not find '([\w/]+)/([^/']+)'", text)
    if missing:
        group, name = missing.groups()
        options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        return f"{group}={name}: there is no such {group}; choose from {', '.join(options)}"
    unknown = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    if unknown:
        return f"there is no setting '{unknown[1]}': `agegender <command> --cfg job` shows what there is"
    twice = re.search(r"Multiple values for .*override (\S+): (\S+)'", text)
    if twice:
        return f"{twice[1]} is chosen already: say {twice[1]}={twice[2]}, once and without a +"
    several = re.search(r"Ambiguous value for argument '(.*)'$|Sweep parameters '(.*)' requires", text, re.MULTILINE)
    if several:
        word = several[1] or several[2]
        name, value = word.split("=", 1)
        return f"{word} names several values: add -m to train one run for each, or quote it, '{name}=\"{value}\"'"
    return " ".join(text.split())
