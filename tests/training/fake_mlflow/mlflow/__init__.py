"""What the project uses of MLflow, in memory: for tests where MLflow is not installed."""
