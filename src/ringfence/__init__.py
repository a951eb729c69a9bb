"""Ringfence: train reinforcement-learning agents on data that may not leave the organisation."""

__version__ = "0.1.0"
