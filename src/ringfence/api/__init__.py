"""The HTTP face: parse, one service call, render."""
