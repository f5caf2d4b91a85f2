"""The realtime clients people already have, unmodified, against a live server: `make conformance`."""
