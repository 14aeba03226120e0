"""The way to a ClickHouse: its address, questions and inserts over HTTP, what its errors mean, and the tables there."""
