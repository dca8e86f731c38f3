"""``python -m snljax.cli``."""

from snljax.cli import main

if __name__ == "__main__":
    main()
