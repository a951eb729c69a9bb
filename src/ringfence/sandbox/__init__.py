"""The fence: start a workload that reaches nothing but its keeper, and learn how it ended."""
