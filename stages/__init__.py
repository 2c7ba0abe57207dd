"""One module per stage of dvc.yaml; `python -m stages.NAME` runs it."""

from pipeline.faults import one_line_hook

one_line_hook()  # before a stage imports what may need more memory, files or threads than there are
