"""One script for each client. Each runs in an environment of its own, where nothing of this project is installed."""
