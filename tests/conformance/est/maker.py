"""A maker of devices whose certificates are not ours (IEEE 802.1AR): an authority, its CRL, a device."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.est.clients.client import Pair
from tests.fixtures.commands import run

DAYS = "3000"


class Maker:
    """Its trust anchor and CRL as files, made by openssl; whoever has `key` can make devices of it."""

    def __init__(self, folder: Path, name: str = "Maker of gateways") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.anchors, self.crl = folder / "anchors.pem", folder / "maker.crl"
        self._key = folder / "maker.key"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
            *("-keyout", str(self._key), "-out", str(self.anchors), "-days", DAYS, "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        config = folder / "ca.cnf"
        config.write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\ndefault_md=sha256\ndefault_crl_days=30\n"
        )
        (folder / "index").touch()
        issuer = ("-cert", str(self.anchors), "-keyfile", str(self._key))
        run("openssl", "ca", "-gencrl", "-config", str(config), *issuer, "-out", str(self.crl))

    def device(self, serial_number: str) -> Pair:
        """What is burnt into a device: a key, and a certificate that says its serial number."""
        folder = self._folder / serial_number
        folder.mkdir()
        pair = Pair(folder / "key.pem", folder / "certificate.pem")
        request, extensions = folder / "request.pem", folder / "extensions"
        extensions.write_text("keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n")
        run(
            *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
            *("-keyout", str(pair.key), "-subj", f"/serialNumber={serial_number}", "-out", str(request)),
        )
        run(
            *("openssl", "x509", "-req", "-in", str(request), "-CA", str(self.anchors), "-days", DAYS),
            *("-CAkey", str(self._key), "-extfile", str(extensions), "-out", str(pair.certificate)),
        )
        return pair
