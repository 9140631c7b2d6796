"""Figures of an experiment: one module each, one style, PNG for screens and PDF for print."""
