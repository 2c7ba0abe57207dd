"""Record the version of the code that each stage runs.

    python -m stages.code

Reads `pipeline/`, `stages/` and the versions of the installed libraries. Writes `.code/<stage>.json`: the sha256 of
each of our files that the stage imports, directly or not; the versions of Python and of the imported libraries that
influence the bytes of an out; and a digest of all these. DVC runs it after every edit of these folders and of
`requirements.lock`. A stage then runs again if its own file has changed (docs/caching.md).
"""

from pipeline.base.code_version import CODE, code_texts
from pipeline.base.command import new_app, run
from pipeline.base.files import replace_folder, write_text

app = new_app()


@app.command()
def code() -> None:
    """Write down which of our files, and which versions of libraries, each stage runs."""
    texts = code_texts()
    with replace_folder(CODE, ("*.json",)) as folder:
        for name, text in texts.items():
            write_text(folder / name, text)
    print(f"{CODE}: {len(texts)} stages")


if __name__ == "__main__":
    run(app)
