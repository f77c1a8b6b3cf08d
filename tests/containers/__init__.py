"""docker-compose.yml, in containers."""
