"""Starts the platform's processes, keeps them alive, and ends them together."""
