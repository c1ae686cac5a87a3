"""The command that lists which images run on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.refusal import UserError


def images(
    file: Annotated[
        Path | None,
        typer.Option("--images", help="A map of image names to programs, in YAML.", metavar="FILE"),
    ] = None,
) -> None:
    """List the images that pods can have here: those of the map, then the built-in ones."""
    from fairlead.dns.server import run_in_pod
    from fairlead.node.builtinimages import builtin
    from fairlead.node.images import Image, ImageError, describe, load_images, merge

    try:
        own = load_images(file) if file else {}
    except (ImageError, OSError) as error:
        raise UserError(f"the image map cannot be used: {error}") from error
    known = merge(own, builtin(), {"fairlead/dns": Image(run=run_in_pod)})
    width = max(len(name) for name in known)
    print(f"{'IMAGE':{width}}  HERE")
    for name, image in known.items():
        print(f"{name:{width}}  {describe(image)}")
