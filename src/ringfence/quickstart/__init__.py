"""The main job as a user would do it: every step through the same API, as the person whose role it is."""
