"""One spoken conversation with one engine. Imports nothing else of ours."""
