"""What is answered: detections, scores, drawings and maps of the loss."""
