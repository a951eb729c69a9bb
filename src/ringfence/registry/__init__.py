"""ModelVersion: package, sign, prove, promote."""
