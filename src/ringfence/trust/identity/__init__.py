"""Identity: accounts, sessions, API keys, certificates. Nothing outside this folder makes an Actor."""
