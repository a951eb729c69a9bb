"""Durable jobs: what is too long for a request is queued, leased to a worker, and survives the worker's death."""
