"""``python -m snljax.cli``."""

from snljax.cli import main

main()
