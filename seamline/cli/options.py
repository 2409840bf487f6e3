"""The options that several commands share, and the terminal they write to."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from seamline.algorithm import Algorithm
from seamline.cli.choices import Blending, Inversion, Landmarks, Pivots, Preset

console = Console(stderr=True)

Video = Annotated[
    str, typer.Argument(help="The source video: a file, or with --deliver-to an https address that the editor fetches.")
]
VideoFile = Annotated[Path, typer.Argument(metavar="VIDEO", help="The source video.")]
Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--edit",
        help="name=strength, as `seamline edits` lists; name=0@0s,3@1.5s,0@3s over time; name=-3:3:7 for a sweep. "
        ":lt after it takes the latent transformer. May be repeated.",
    ),
]
Text = Annotated[
    tuple[str, str] | None,
    typer.Option("--text", metavar="NEUTRAL TARGET", help='An edit from two texts: "face" "face with glasses".'),
]
Beta = Annotated[
    float | None, typer.Option("--beta", help="Of the text: style channels less relevant than this stay, 0 to 1.")
]
Strength = Annotated[
    str | None, typer.Option("--strength", help="Of the text; keyframes and sweeps as in --edit are possible.")
]
Style = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--style",
        metavar="NEUTRAL TARGET",
        help='A look that the generator learns from two texts, in minutes, once for all videos: "face" "old man".',
    ),
]
StyleStrength = Annotated[
    float | None, typer.Option("--style-strength", help="How much of the style, 0 to 2; 1 if left out.")
]
InversionOption = Annotated[
    Inversion,
    typer.Option(
        "--inversion",
        help="pti tunes the generator to the face, hyperstyle predicts that, e4e takes it as it is.",
    ),
]
PivotsOption = Annotated[Pivots, typer.Option("--pivots", help="Codes from the encoder, or optimised for each frame.")]
Locality = Annotated[bool, typer.Option("--locality", help="PTI's own regulariser, which STIT leaves out.")]
AlgorithmOption = Annotated[
    Algorithm,
    typer.Option(
        "--algorithm", help="default tunes as the bundle says, stit as Stitch it in Time does: one frame at a time."
    ),
]
BlendOption = Annotated[
    Blending,
    typer.Option(
        "--blend",
        help="stitch tunes the seam away, poisson blends inside the face's outline, feather and paste do neither.",
    ),
]
NoStitching = Annotated[
    bool, typer.Option("--no-stitching", help="Short for --blend feather: the edit as it is, seam and all.")
]
PresetOption = Annotated[
    Preset | None,
    typer.Option("--preset", help="animation: no smoothing of the face's place, three times the passes."),
]
LandmarksOption = Annotated[Landmarks, typer.Option("--landmarks", help="Who finds the faces.")]
From = Annotated[
    Path | None,
    typer.Option("--from", help="Go on from an inversion that exists: what `seamline bundles import-stit` wrote."),
]
Bundle = Annotated[str, typer.Option("--bundle", help="Installed bundle; the default one if left out.")]
DeliverTo = Annotated[
    str,
    typer.Option(
        "--deliver-to",
        help="An https address, for instance one presigned for PUT, to which the editor sends the result, in place of "
        "--out. The result's figures go to the standard output.",
    ),
]
Editor = Annotated[
    str,
    typer.Option("--editor", envvar="SEAMLINE_EDITOR", help="host:port of an editor; left out, one is started here."),
]
StoreUrl = Annotated[
    str,
    typer.Option("--store", envvar="SEAMLINE_STORE", help="file:///dir or s3://bucket/prefix?endpoint=…"),
]
