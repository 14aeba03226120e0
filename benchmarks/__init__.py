"""Benchmarks of sidelog: whole processes on generated logs, beside floors and beside what one would use instead."""
