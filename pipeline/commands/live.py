"""`actionbank live`: watch a camera with what is predicted, in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import BatchOption, DeviceOption, WorkersOption
from pipeline.commands.predict import (
    BoxThresholdOption,
    EveryOption,
    LabelsOption,
    ModelOption,
    ThresholdOption,
    end_with,
)


def live(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="camera:0, rtsp://... or http://...")],
    model: ModelOption = Path(),
    detector: Annotated[
        str | None,
        typer.Option(
            help="fasterrcnn (as without it), motion, or weights for fasterrcnn (.safetensors).", show_default=False
        ),
    ] = None,
    every: EveryOption = 1,
    threshold: ThresholdOption = None,
    box_threshold: BoxThresholdOption = None,
    labels: LabelsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write lines and tables into this folder.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier result in --out.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's own need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 8008,
    token: Annotated[
        str,
        typer.Option(envvar="ACTIONBANK_LIVE_TOKEN", help="Every request must give it as ?token=.", show_default=False),
    ] = "",
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
) -> None:
    """Show a camera in a browser, with persons and their actions as they are found (docs/live.md).

    Serves one page, at http://127.0.0.1:8008/ unless told otherwise, until the source ends, or Ctrl-C. The windows of
    a head hold the past alone. Latency and drop rate are printed every ten seconds.
    """
    # Imported here because PyTorch takes seconds to import.
    from pipeline.predict.film_plans import UserChoice
    from pipeline.predict.live_server import Hub, LiveServer, check_address
    from pipeline.predict.live_to_folder import LiveOutputs, live_to_folder
    from pipeline.predict.load_model import load_model
    from pipeline.predict.page.html_page import render_live_page

    check_address(host, token)
    loaded = load_model(model, device=device, workers=workers, batch=batch, labels=labels, box_threshold=box_threshold)
    hub = Hub()
    server = LiveServer(hub, render_live_page(), host=host, port=port, token=token)
    try:
        print(f"{server.url}{'?token=...' if token else ''}", flush=True)
        outputs = LiveOutputs(out=out, force=force, hub=hub)
        counts = live_to_folder(source, loaded.shown_from(threshold), UserChoice(detector=detector), every, outputs)
    finally:
        server.close()
    end_with(counts.outcome == "stopped")
