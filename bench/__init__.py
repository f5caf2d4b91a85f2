"""What the product promises in numbers, measured against a real server: `python -m bench` (docs/performance.md)."""
