"""Runs pods on one host."""
