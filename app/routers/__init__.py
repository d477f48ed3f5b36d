"""The routes: each handler reads, calls a service and answers."""
