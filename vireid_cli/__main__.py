"""Entry point of the command ``vireid`` and of ``python -m vireid_cli``."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Import the command line and run it.

    During the import Ctrl-C ends the process at once, as it ends programs in C: Python's own handler would
    print a traceback of the import.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from vireid_cli.commands.main import main as run
    finally:
        signal.signal(signal.SIGINT, handler)
    if "VIREID_LAUNCHER" in os.environ:
        from vireid_cli.engine.launch import follow_launcher

        follow_launcher()
    run()


if __name__ == "__main__":
    main()
