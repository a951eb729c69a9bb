"""Keys: a port, and the adapter that keeps them in files of one owner."""
