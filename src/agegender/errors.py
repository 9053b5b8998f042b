"""Mistakes a user can mend, and how they end a command."""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A mistake the user can mend: one sentence naming the file or value and the remedy, shown without a traceback."""


class Damaged(UserError):
    """A file that was written whole and cannot be used any more: what else there is goes on without it."""


@contextmanager
def exit_on_user_error(active: bool = True) -> Iterator[None]:
    """End the command with the sentence of a UserError and status 2, before Hydra dresses it up, if `active`."""
    try:
        yield
    except UserError as error:
        if not active:
            raise
        print(f"agegender: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def disk_explained(place: Path | str) -> Iterator[None]:
    """Turn what a disk refuses into a sentence about the file that its error names, or else about this place."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise
        what = "has no room on its disk" if error.errno in FULL else "cannot be read or written"
        remedy = "make room" if error.errno in FULL else "mend that"
        raise UserError(
            f"{error.filename or place} {what} ({error.strerror}): {remedy} and run the same command again; what was "
            "written before is kept"
        ) from error


def one_sentence(error: Exception) -> str:
    """Say in one sentence what Hydra found wrong with the command line or the configuration."""
    text = str(error)
    missing = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if missing:
        group, name = missing.groups()
        options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        return f"{group}={name}: there is no such {group}; choose from {', '.join(options)}"
    unknown = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    if unknown:
        return f"there is no setting '{unknown[1]}': `agegender <verb> --cfg job` shows what there is"
    unreadable = re.search(r"Error parsing override '([^\n]*)'$", text, re.MULTILINE)
    if unreadable:
        return f"{unreadable[1]} cannot be read: quote a value with special signs twice, as in 'key=\"a, (b)\"'"
    return " ".join(text.split())
