"""`seamline bundles`: what is installed, how to get more, and how to take it along."""

import typer
from rich.console import Console

bundles_app = typer.Typer(help="Get, check, pack and convert bundles of networks.", no_args_is_help=True)
console = Console(stderr=True)
