"""`seamline doctor`: looks whether every service has what it needs, and says what to do where one has not."""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from seamline.cli import options
from seamline.cli.arguments import cache_directory
from seamline.cli.options import console
from seamline.cli.session import local_deployment
from seamline.client import Client
from seamline.diagnosis.check import fault_of
from seamline.diagnosis.store import check_store, put_probe, remove_probe
from seamline.errors import SeamlineError
from seamline.rpc.tls import Tls
from seamline.v1.diagnostics_pb2 import Check, CheckOutcome, ServiceReport

WORDS = {
    CheckOutcome.CHECK_OUTCOME_OK: "ok",
    CheckOutcome.CHECK_OUTCOME_WARNING: "warning",
    CheckOutcome.CHECK_OUTCOME_FAULT: "fault",
}
STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}
_TOLD = ("seamline", "torch")


def doctor(
    bundle: options.Bundle = "",
    editor: options.Editor = "",
    store: options.StoreUrl = "",
    as_json: Annotated[bool, typer.Option("--json", help="All findings, as JSON.")] = False,
) -> None:
    """Check the store, bundle, device and version of every service. Exit status 1 if something does not work."""
    if editor:
        with console.status("asking the editor and all replicas"):
            reports = asyncio.run(_reports(editor, bundle, store))
    else:
        url = store or (cache_directory() / "store").as_uri()
        with local_deployment(url, console) as deployment, console.status("asking the services"):
            reports = asyncio.run(_reports(deployment.endpoint("editor"), bundle, "", tls=Tls(), token=""))
    if as_json:
        typer.echo(json.dumps(as_values(reports), indent=2))
    else:
        Console().print(findings(reports))
    if _count(reports, "fault"):
        raise typer.Exit(1)


async def _reports(
    editor: str, bundle: str, store: str, *, tls: Tls | None = None, token: str | None = None
) -> list[ServiceReport]:
    """What the services say, and what is found from here if this machine uses the store, too."""
    probe = await asyncio.to_thread(put_probe, store) if store else ""
    try:
        async with Client(editor, tls=tls, token=token) as client:
            reports = list((await client.diagnose(bundle, probe=probe)).services)
            reports[0].endpoint = editor
    except SeamlineError as error:
        unanswered = fault_of("service", error, "see the editor's log")
        reports = [ServiceReport(service="editor", endpoint=editor, checks=[unanswered])]
    finally:
        if probe:
            await asyncio.to_thread(remove_probe, store, probe)
    if store:
        reports.append(ServiceReport(service="client", checks=[await asyncio.to_thread(check_store, store)]))
    return reports


def as_values(reports: Sequence[ServiceReport]) -> dict[str, Any]:
    """All that was found, for programs."""
    return {
        "ok": not _count(reports, "fault"),
        "services": [
            {
                "service": report.service,
                "endpoint": report.endpoint,
                "versions": dict(sorted(report.versions.items())),
                "checks": [_check_values(check) for check in report.checks],
            }
            for report in reports
        ],
    }


def _check_values(check: Check) -> dict[str, Any]:
    return {
        "subject": check.subject,
        "outcome": _word(check),
        "finding": check.finding,
        "remedy": check.remedy,
        "seconds": round(check.seconds, 4),
    }


def findings(reports: Sequence[ServiceReport]) -> Group:
    """All that was found, for people: a table for every replica, and the sum of it."""
    return Group(*(part for report in reports for part in (_title(report), _table(report), "")), _sum(reports))


def _title(report: ServiceReport) -> Text:
    versions = ", ".join(f"{name} {report.versions[name]}" for name in _TOLD if name in report.versions)
    title = Text(report.service, "bold")
    for part, style in ((report.endpoint, "not bold"), (versions and f" {versions}", "not bold dim")):
        title.append(f" {part}" if part else "", style)
    return title


def _table(report: ServiceReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", min_width=9)
    table.add_column("", min_width=8)
    table.add_column("", overflow="fold", ratio=1)
    table.add_column("", justify="right")
    for check in report.checks:
        word = _word(check)
        found = f"{escape(check.finding)}\n[bold]→ {escape(check.remedy)}[/]" if check.remedy else escape(check.finding)
        seconds = f"{check.seconds:.2f} s" if check.seconds else ""
        table.add_row(f"  [{STYLES[word]}]{word}[/]", escape(check.subject), found, seconds)
    return table


def _sum(reports: Sequence[ServiceReport]) -> Text:
    faults, warnings = _count(reports, "fault"), _count(reports, "warning")
    if not faults and not warnings:
        return Text("all is well", STYLES["ok"])
    told = [_number(count, what) for count, what in ((faults, "fault"), (warnings, "warning")) if count]
    return Text(", ".join(told), STYLES["fault" if faults else "warning"])


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _count(reports: Sequence[ServiceReport], word: str) -> int:
    return sum(_word(check) == word for report in reports for check in report.checks)


def _word(check: Check) -> str:
    """An outcome that only a newer service knows is at least not fine."""
    return WORDS.get(check.outcome, "warning")
