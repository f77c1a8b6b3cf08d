"""Flower in a real browser: what a person sees, finds, and may not do."""
