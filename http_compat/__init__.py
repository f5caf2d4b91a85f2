"""The HTTP/SSE contract of the earlier server. Its routes are not built yet."""
