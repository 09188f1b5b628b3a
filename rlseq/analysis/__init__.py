"""Scores, plots and reference tables; reads run folders, trains nothing."""
