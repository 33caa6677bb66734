"""HTML pages of what was measured: tables and plots in one self-contained file."""
