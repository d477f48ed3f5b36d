"""Answers: detections, scores, drawings and maps of the loss."""
