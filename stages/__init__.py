"""The stages of the pipeline, one module each; see dvc.yaml."""

from pipeline.workers import end_with_dvc

end_with_dvc()  # here, before the seconds that a stage's imports take
