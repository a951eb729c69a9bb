"""Simulator: store a bundle, inspect it in a fence, admit it, and hand it to runs by digest."""
