"""The configuration: what it can say (`schema`), how it is read and put together (`loader`), what is wrong with it."""

from agent.config.layers import dotted
from agent.config.loader import InvalidConfigError, drop_ins, find_file, for_patterns, load, with_store
from agent.config.schema import (
    ArchiveConfig,
    ArchiveRetentionConfig,
    Config,
    HookConfig,
    HttpConfig,
    JournalConfig,
    MultilineConfig,
    PatternConfig,
    RetentionConfig,
    RotateConfig,
    RuleConfig,
    Secret,
    SignalConfig,
    SourceConfig,
    StoreConfig,
    WhenConfig,
    default_store_path,
)
from agent.config.validate import listen_address, unsupported

__all__ = [
    "ArchiveConfig",
    "ArchiveRetentionConfig",
    "Config",
    "HookConfig",
    "HttpConfig",
    "InvalidConfigError",
    "JournalConfig",
    "MultilineConfig",
    "PatternConfig",
    "RetentionConfig",
    "RotateConfig",
    "RuleConfig",
    "Secret",
    "SignalConfig",
    "SourceConfig",
    "StoreConfig",
    "WhenConfig",
    "default_store_path",
    "dotted",
    "drop_ins",
    "find_file",
    "for_patterns",
    "listen_address",
    "load",
    "unsupported",
    "with_store",
]
