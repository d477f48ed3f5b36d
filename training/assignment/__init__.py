"""Which predictor of which scale answers for which object, and which predictors are left alone."""
