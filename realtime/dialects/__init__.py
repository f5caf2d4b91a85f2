"""Bytes of a protocol on one side, our messages on the other. Chosen per connection, never mixed."""
