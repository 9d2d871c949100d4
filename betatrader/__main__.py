"""`python -m betatrader`: the command line."""

from betatrader.cli.main import main

if __name__ == "__main__":
    main()
