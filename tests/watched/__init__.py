"""The folder that is on the path of each interpreter that a test run starts."""
