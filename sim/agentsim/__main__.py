"""``python -m agentsim``: the command line."""

from agentsim.cli import main

if __name__ == "__main__":
    main()
