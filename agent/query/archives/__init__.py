"""Questions to archives."""
