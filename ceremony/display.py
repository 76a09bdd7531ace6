"""What the people in the room see: on stderr, one line a step, so that it can be read again from the top."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ca_server.core.bundle import Bundle
from ca_server.hsm.port import TokenRecord
from ceremony.host import Host
from ceremony.plan import Plan
from ceremony.room import Step


class Display:
    """Prints a ceremony as it goes; nothing that it prints is secret."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    def show_plan(self, plan: Plan, host: Host | None = None) -> None:
        """What will happen, and the digest that the people compare with the one that was approved."""
        mode = f" — {host.mode}" if host else ""
        self._console.print(f"[bold]{escape(plan.script.title)}[/bold] ({plan.script.id}){mode}")
        self._console.print(f"script SHA-256 {plan.sha256}", soft_wrap=True)
        table = Table("", "step", "what will happen", box=None, padding=(0, 2, 0, 0))
        for number, step in enumerate(plan.steps, 1):
            table.add_row(str(number), step.id, escape(step.describe()))
        self._console.print(table)

    def show_tokens(self, tokens: Mapping[str, TokenRecord]) -> None:
        """Which device each alias turned out to be."""
        for alias, token in tokens.items():
            device = f"{token.manufacturer} {token.model}, serial {token.serial}, firmware {token.firmware}"
            self._console.print(escape(f"token {alias}: '{token.label}', {device}"), soft_wrap=True)

    @contextmanager
    def step(self, number: int, total: int, step: Step) -> Iterator[Callable[[str], None]]:
        """One step: its line is printed when it is over, with what came of it and how long it took."""
        results: list[str] = []
        started = time.perf_counter()
        try:
            yield results.append
        except BaseException:
            self._console.print(escape(f"[{number}/{total}] {step.id}: stopped"), style="bold red")
            raise
        seconds = time.perf_counter() - started
        line = f"[{number}/{total}] {step.id}: {'; '.join(results)} ({seconds:.2f} s)"
        self._console.print(escape(line), soft_wrap=True)

    def show_bundle(self, bundle: Bundle) -> None:
        """What a bundle holds and the digest to compare before it is trusted."""
        manifest = bundle.manifest
        self._console.print(f"ceremony {manifest.ceremony}, {manifest.mode}", soft_wrap=True)
        for name, digest in sorted(manifest.files.items()):
            self._console.print(escape(f"  {digest}  {name}"), soft_wrap=True)
        self._console.print(f"log {manifest.log.vkey}", soft_wrap=True)
        self._console.print(f"[bold]bundle SHA-256 {bundle.sha256}[/bold]", soft_wrap=True)
