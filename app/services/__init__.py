"""Services that routes and commands share: models, inference, detection, scoring."""
