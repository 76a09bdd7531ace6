"""`sealkeeper ceremony report`: the report of a bundle for people."""

from __future__ import annotations

from pathlib import Path

import click

_OUT = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=_OUT, required=True, help="Where the HTML goes: one file that needs no other.")
@click.option("--pdf", type=_OUT, help="Where the same report goes as PDF/A; needs the extra 'pdf'.")
def report(bundle: Path, out: Path, pdf: Path | None) -> None:
    """Write the report of a bundle for people, once the bundle is verified."""
    from ca_server.core.archive import MAX_ARCHIVE_BYTES  # noqa: PLC0415 - help needs none of it
    from ca_server.core.ceremony.verify import verify_bundle  # noqa: PLC0415
    from ceremony.folder import place, read_file  # noqa: PLC0415
    from ceremony.report.facts import gather  # noqa: PLC0415
    from ceremony.report.html import render  # noqa: PLC0415
    from ceremony.report.pdf import to_pdf  # noqa: PLC0415

    verified = verify_bundle(read_file(bundle, MAX_ARCHIVE_BYTES)).bundle
    html = render(gather(verified.files, verified.sha256))
    pages = None if pdf is None else to_pdf(html)
    place(out, html.encode())
    if pdf is not None and pages is not None:
        place(pdf, pages)
