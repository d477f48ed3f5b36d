"""Clients that run inside other tools and call the service."""
