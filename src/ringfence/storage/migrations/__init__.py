"""The steps of the database's schema, in order. Run by `ringfence.storage.migrate`."""
