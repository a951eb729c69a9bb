"""Datasets: declared, landed in quarantine, classified, released as versions that hold no identity."""
