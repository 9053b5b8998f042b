"""`agegender` as a command, where the package may only be on the path and not installed."""

import sys

AGEGENDER = (sys.executable, "-c", "import sys; from agegender.cli import main; sys.argv[0] = 'agegender'; main()")
