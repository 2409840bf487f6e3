"""Shows how far an edit is: a bar per stage on a terminal, a line per stage elsewhere."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from seamline.v1.media_pb2 import Progress

STAGES = ("fetch", "align", "invert", "restyle", "stitch", "score", "mux", "deliver")


class StageBars:
    """One bar per stage, moved by the Progress messages of an edit."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("[bold]{task.description:<7}"),
            TextColumn("{task.fields[step]:<10}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StageBars":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Moves the bar of the stage that reports."""
        if progress.stage not in self._tasks:
            self._finish()
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, step="", figures="", total=None)
            if not self._console.is_terminal:
                self._console.print(f"{progress.stage} …")
        self._bars.update(
            self._tasks[progress.stage],
            step=progress.step,
            completed=progress.done,
            total=progress.total or None,
            figures="  ".join(f"{name} {value:.3g}" for name, value in sorted(progress.figures.items())),
        )

    def _finish(self) -> None:
        """Stops the clock of the stages that are over."""
        for task in self._tasks.values():
            self._bars.update(task, total=1, completed=1, step="done", figures="")
            self._bars.stop_task(task)
