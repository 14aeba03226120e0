"""Rotation by sidelog itself, of logs whose applications cannot: which logs are due (`due`), how rotated ones are named
(`names`), the work in their directory (`folder`, `copying`), telling the application (`telling`, `pending`), and what
comes after (`aftercare`, `surplus`). `rotation` puts it together, a round at a time; everything here blocks.
"""
