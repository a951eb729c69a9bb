"""Looks through a simulator bundle without running any of it: secrets, dangerous calls, binaries, odd files."""
