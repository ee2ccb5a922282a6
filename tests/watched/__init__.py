"""The folder that stands on the path of each interpreter that a test run starts."""
