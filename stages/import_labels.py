"""Read the labels of a data set of clips into tables.

    python -m stages.import_labels

Reads the folder `recognition.dataset.labels`, in any of the formats of docs/recognition-data.md, and which films have
frames. Writes `data/<name>/labels`: `clips.parquet`, `labels.json` with the classes and what a flip makes of each,
`summary.json`, and `problems.json` with every row that was left out or kept with a note.
"""

from pathlib import Path

from pipeline.base.command import new_app, run
from pipeline.base.files import replace_folder

app = new_app()


@app.command()
def import_labels() -> None:
    """Turn labels of any format and lists of classes into tables; a bad row is reported and left out."""
    from pipeline.annotations.import_clips import FILES, import_clips, write_clips
    from pipeline.base.runs import recorded_run
    from pipeline.params import load_track
    from pipeline.recognition.clip_set import frame_counts

    params = load_track("recognition")
    dataset = params.dataset
    data = Path("data", dataset.name)
    with recorded_run("import_labels", "", dataset=dataset.name), replace_folder(data / "labels", FILES) as folder:
        found = import_clips(Path(dataset.labels), frame_counts(data / "frames"), segments=params.backbone.segments)
        told = write_clips(folder, found, max_bad_fraction=dataset.max_bad_fraction)
    print(f"{data / 'labels'}: {told}")


if __name__ == "__main__":
    run(app)
