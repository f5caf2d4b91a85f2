"""Everything that knows a llama-server exists."""
