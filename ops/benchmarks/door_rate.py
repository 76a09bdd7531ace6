"""How fast our door signs with the first key of a token: door_rate MODULE TOKEN PIN_FILE SECONDS."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ca_server.core.signatures import default_algorithm
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.settings import TokenSettings

module, token, pin_file, seconds = sys.argv[1:]
store = open_token(TokenSettings(Path(module), token, PinSource.from_file(Path(pin_file))))
key = store.inventory()[0]
signer = store.signer(label=key.label, key_id=key.key_id)
algorithm = default_algorithm(signer.key_type)
message = bytes(700)
started = time.perf_counter()
count = 0
while time.perf_counter() - started < float(seconds):
    signer.sign(message, algorithm)
    count += 1
print(f"{count / (time.perf_counter() - started):.0f}")
store.close()
