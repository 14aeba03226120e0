"""sidelog: the log and error agent that runs beside an application. Start reading at `agent/pipeline.py`."""

__version__ = "0.1.0"
