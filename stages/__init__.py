"""The stages of the pipeline, one module each; see dvc.yaml. `python -m stages.NAME` runs one."""

from pipeline.base.faults import one_line_hook
from pipeline.base.heap import collect_seldom
from pipeline.base.workers import end_with_dvc

one_line_hook()  # first, because an import may already run out of memory, files or threads
collect_seldom()
end_with_dvc()  # before the imports of a stage, which take seconds
