"""The face for queued jobs: one service call for each kind of job."""
