"""Suppresses the output of the runtimes' converters."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings, prints, log lines and what C++ writes straight to descriptor 2; exceptions pass.

    The packages report missing processors, each other's deprecations and the passes that ran, none of which a user can
    change. The descriptor is that of the whole process, so only importing, converting and opening belong in here.
    """
    sys.stderr.flush()
    disabled, stderr, nowhere = logging.root.manager.disable, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stderr.flush()
        logging.disable(disabled)
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
