"""One file for each step; made by `tools/new_migration.py`, never changed once released."""
