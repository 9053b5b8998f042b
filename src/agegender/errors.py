"""Mistakes a user can mend, and how they end a command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake the user can mend: one sentence naming the file or value and the remedy, shown without a traceback."""


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
