"""The programs. See ``bench.programs``."""
