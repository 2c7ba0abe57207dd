"""The whole of `actionbank predict`: find the films, load the model, predict, and write the folder of results."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError, counted
from pipeline.base.files import replace_folder
from pipeline.models.attention import attends
from pipeline.predict.attention_table import write_attention
from pipeline.predict.exclusive_groups import exclusive_groups
from pipeline.predict.film_plans import UserChoice, plan_films
from pipeline.predict.film_sources import FilmSource, find_films
from pipeline.predict.load_model import Model
from pipeline.predict.page.film_data import Extras
from pipeline.predict.page.html_page import PAGE, write_film_page
from pipeline.predict.page.reasons import SHOWN_ROWS
from pipeline.predict.predict_film import PredictOptions
from pipeline.predict.predict_films import FilmsResult, check_keep_bank, predict_films
from pipeline.predict.render_film import check_free, render_film
from pipeline.predict.to_correct import Tool, after_predict
from pipeline.predict.write_predicted import LINES, REPLACED, check_out, lines_writer, write_tables


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is written, and where."""

    out: Path
    force: bool = False
    "Replace what an earlier run wrote."
    with_csv: bool = True
    with_lines: bool = True
    echo: bool = False
    "Print the lines of JSON too, as they come."
    keep_bank: Path | None = None
    page: bool = False
    "Write page.html, which plays the films; with what was looked at, for a head with attention."
    render: Path | None = None
    "A film with what was found drawn on it."
    actions: bool = False
    "Write actions.csv."
    correct: Tool | None = None
    "Write annotations to correct, for this tool."


def predict_to_folder(
    sources: Sequence[str], model: Model, chosen: UserChoice, options: PredictOptions, outputs: Outputs
) -> FilmsResult:
    """Predict films and write the results; after a Ctrl-C those of the films that were done.

    Args:
        sources: see `find_films`.
        model: see `Model`.
        chosen: boxes and times.
        options: see `PredictOptions`.
        outputs: see `Outputs`.

    Raises:
        InputError: something of this is not there or does not fit, or no film can be read; nothing is written then.
        KeyboardInterrupt: a Ctrl-C came before the first film was done; nothing is written then either.
    """
    check_out(outputs.out, force=outputs.force)
    films, problems = find_films(sources)
    if outputs.page and not options.explain and attends(model.predictor.model):
        options = replace(options, explain=SHOWN_ROWS)
    if outputs.render is not None:
        check_render(outputs.render, len(films), force=outputs.force)
    options.check(model)
    check_keep_bank(model, outputs.keep_bank, force=outputs.force)
    check_at(options, films)
    plans = plan_films(films, model, chosen)
    with replace_folder(outputs.out, REPLACED) as folder:
        with lines_writer(folder / LINES if outputs.with_lines else None, echo=outputs.echo) as lines:
            found = predict_films(model, plans, options, on_second=lines.write, keep_bank=outputs.keep_bank)
        if found.interrupted and not found.results:
            raise KeyboardInterrupt  # an earlier result stays as it is
        found.problems = [*problems, *found.problems]
        told: dict[str, Any] = {
            "every": options.every,
            "memory": options.memory,
            "boxes": sorted({plan.told for plan in plans}),
        }
        told["at"] = None if options.at is None else len(options.at)
        told["exclusive"] = exclusive_groups(model.spec.labels, model.labels)
        needs_all = outputs.page or outputs.render is not None or outputs.correct is not None
        predicted = found.predicted(model, whole=needs_all, **told)
        count = write_tables(folder, predicted, found, with_csv=outputs.with_csv)
        attention = found.attention() if options.explain else None
        if attention is not None:
            write_attention(folder, attention)
        if outputs.page and found.results:
            write_film_page(folder / PAGE, predicted, Extras(attention=attention), at=outputs.out / PAGE)
    print(f"{outputs.out}: {described(found, count)}")
    if outputs.render is not None and found.results:
        frames = render_film(predicted, found.results[0].video["video_id"][0].as_py(), outputs.render)
        print(f"{outputs.render}: {frames} frames")
    seconds = found.seconds(predicted) if outputs.actions else None
    for line in after_predict(predicted, outputs.out, actions=seconds, correct=outputs.correct):
        print(line)
    return found


def check_at(options: PredictOptions, films: Sequence[FilmSource]) -> None:
    """Check that the times that are asked for are of some of the films.

    Raises:
        InputError: they are of none.
    """
    names = {film.video_id for film in films}
    if options.at is None or any(name in names for name in options.at["video_id"].cast("string").to_pylist()):
        return
    raise InputError(f"--at: names none of {counted(len(films), 'film')}; the id of a film is its name: {min(names)!r}")


def check_render(out: Path, films: int, *, force: bool) -> None:
    """Check that a number of films can be rendered into one.

    Raises:
        InputError: there are several, or see `check_free`.
    """
    check_free(out, force=force)
    if films != 1:
        raise InputError(f"--render: found {films} films, expected one; `actionbank render` draws others afterwards")


def described(found: FilmsResult, detections: int) -> str:
    """Say in words what was found, with so many detections."""
    bare = f", {len(found.without_person)} of them without a person" if found.without_person else ""
    bad = f"; {len(found.problems)} cannot be read (problems.json)" if found.problems else ""
    films = counted(len(found.results), "film")
    persons = counted(sum(len(each.persons) for each in found.results), "person")
    return f"{films}{bare}{bad}; {counted(detections, 'detection')} of {persons}"
