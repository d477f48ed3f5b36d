"""yoloscope serve beside other servers of models."""
