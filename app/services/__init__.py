"""What the routes and the commands share: pictures, models, inference, drawing."""
