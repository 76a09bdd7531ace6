"""The median seconds of an RSA 4096 key through our door: rsa_rate MODULE TOKEN PIN_FILE RUNS."""

from __future__ import annotations

import secrets
import statistics
import sys
import time
from pathlib import Path

from ca_server.core.signatures import KeyType
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.settings import TokenSettings

module, token, pin_file, runs = sys.argv[1:]
store = open_token(TokenSettings(Path(module), token, PinSource.from_file(Path(pin_file))))
seconds = []
for number in range(int(runs)):
    key_id = secrets.token_bytes(16)
    started = time.perf_counter()
    store.generate(KeyType.RSA_4096, label=f"bench-{number}", key_id=key_id)
    seconds.append(time.perf_counter() - started)
    store.destroy(label=f"bench-{number}", key_id=key_id)
print(f"{statistics.median(seconds):.3f}")
store.close()
