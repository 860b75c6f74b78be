"""Measurements: figures as ratios within one run, written with the machine they were taken on."""
