"""`python -m tito` does the same as `tito`."""

from tito.app import main

main()
