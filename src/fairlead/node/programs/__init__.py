"""Small programs that stand in for images whose own program is only a few lines: servers for examples and tests."""
