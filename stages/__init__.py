"""The stages of the pipeline, one module each; see dvc.yaml. `python -m stages.NAME` runs one."""

from pipeline.base.faults import one_line_hook
from pipeline.base.workers import end_with_dvc

one_line_hook()  # before a stage imports what may need more memory, files or threads than there are
end_with_dvc()  # here, before the seconds that a stage's imports take
