"""`python -m authz`."""

from authz.cli import main

if __name__ == "__main__":
    main()
