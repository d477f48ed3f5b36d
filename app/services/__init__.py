"""What the routes and the commands share: images, models, inference, drawing."""
