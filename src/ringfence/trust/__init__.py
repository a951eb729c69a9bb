"""Who may do what, decided by policy and recorded: the one door into every domain verb."""
