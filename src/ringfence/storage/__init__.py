"""Where rows and bytes live: the database and the encrypted object store."""
