"""Assignment of objects to predictors, and the ignore rule."""
