"""The report as PDF/A, for the archive; it is the same HTML, and nothing is fetched for it."""

from __future__ import annotations

from ca_server.core.errors import CaError, Kind

VARIANT = "pdf/a-3u"


def to_pdf(html: str) -> bytes:
    """The pages of a report (ISO 19005-3, level U).

    Raises:
        CaError: not_ready, the extra `pdf` or the libraries that it needs are not installed.
    """
    try:
        import weasyprint  # type: ignore[import-untyped] # noqa: PLC0415 - an extra, and slow to load
    except (ImportError, OSError) as error:
        detail = "PDF needs the extra 'pdf' (pip install 'sealkeeper[pdf]') and the system's Pango library"
        raise CaError(Kind.NOT_READY, detail) from error
    # No protocol is allowed, and an attempt ends it: a page that asks for anything is none of ours.
    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=(), fail_on_errors=True)
    pages: bytes = weasyprint.HTML(string=html, url_fetcher=fetcher).write_pdf(pdf_variant=VARIANT)
    return pages
