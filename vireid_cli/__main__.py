"""``python -m vireid_cli`` runs the command line, as ``vireid`` does."""

from __future__ import annotations

from vireid_cli.commands.main import main

if __name__ == "__main__":
    main()
