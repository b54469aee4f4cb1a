"""`python -m tito`: the same as `tito`."""

from tito.app import main

main()
