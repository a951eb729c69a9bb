"""Run: a specification, validated; learning, evaluation and registration in fences; crash-safe phases."""
