"""How many calls one server can hold: `python -m bench.capacity`."""
