"""``python -m tmsprep``."""

from tmsprep.cli import main

main()
