"""R33: nobody's PKCS#7, CMS or PKCS#12 is parsed by a process that has anything to lose."""

from __future__ import annotations

import ast
import re

from tests.architecture.tree import ROOT, name_of, parsed, product_files

# The one module that reads such a message: the child process of `sealkeeper enroll`.
READER = "ca_server/cli/enroll/pkcs7.py"
# The one module that builds such messages out of their parts.
BUILDER = "ca_server/core/est/key_package.py"

PARSERS = {
    "load_der_pkcs7_certificates",
    "load_pem_pkcs7_certificates",
    "load_key_and_certificates",
    "load_pkcs12",
    "pkcs7_decrypt_der",
    "pkcs7_decrypt_pem",
    "pkcs7_decrypt_smime",
}


def used_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)


def trees():
    return {name_of(path): parsed(path) for path in product_files()}


def test_r33_only_the_process_that_may_die_parses_messages():
    parsing = {name for name, tree in trees().items() if PARSERS.intersection(used_names(tree))}
    assert parsing == {READER}


def test_r33_the_asn1_of_messages_is_for_building_alone():
    messages = ("asn1crypto.cms", "asn1crypto.pkcs12", "asn1crypto.tsp")
    known = trees()
    users = {
        name for name, tree in known.items() if any(each.startswith(messages) for each in imported(tree))
    }
    assert users == {BUILDER}
    assert not re.search(r"\bcms\.\w+\.load\b", (ROOT / BUILDER).read_text())


def test_r33_nothing_but_its_own_package_imports_the_reader():
    module = READER.removesuffix(".py").replace("/", ".")
    users = {name for name, tree in trees().items() if module in set(imported(tree))}
    assert users
    assert all(name.startswith("ca_server/cli/enroll/") for name in users)
