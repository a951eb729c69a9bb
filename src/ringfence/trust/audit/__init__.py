"""The audit trail: hash-chained rows, signed checkpoints, and a verifier that needs neither platform nor database."""
