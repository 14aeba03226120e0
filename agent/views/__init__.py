"""Documents that faces show."""
