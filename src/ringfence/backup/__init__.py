"""Backups: everything a platform is, in one encrypted file, taken while it runs; verified and restored without it."""
