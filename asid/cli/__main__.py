"""``python -m asid.cli``."""

from asid.cli.main import main

main()
