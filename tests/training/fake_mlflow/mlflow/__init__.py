"""The part of MLflow that the project uses, in memory, for tests on machines without MLflow."""
