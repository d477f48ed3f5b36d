"""Benchmark of label audits: real and injected label errors, beside the formulas of other tools."""
