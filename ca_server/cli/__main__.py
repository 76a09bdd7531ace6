"""`python -m ca_server.cli`, for processes that start one another without a search of PATH."""

from ca_server.cli import main

main()
