"""What runs inside the fence: it holds no credentials and imports nothing of `ringfence`."""
