"""The generated pages of docs/: commands, metrics, settings and tasks."""
