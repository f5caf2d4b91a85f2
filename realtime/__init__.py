"""How a WebSocket speaks with a conversation."""
