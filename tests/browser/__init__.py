"""Flower in a real browser: what the operator sees, finds, and may not do."""
