"""Endpoint: a production model version that answers, guarded, from a fence of its own."""
