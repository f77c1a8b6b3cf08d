"""Programs for developers of carina-tasks. Nothing here is part of the package."""
