"""TLS is verified: against the system's authorities, or against one's own."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporters.gateway_client.sender import Gateway, Sender
from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.gateway import ScriptedGateway
from tests.exporters.gateway_client.test_sender import fill

pytestmark = pytest.mark.processes


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1, its own authority, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "gateway.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return tmp_path / "gateway.pem"


@pytest.fixture
def secure(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGateway]:
    monkeypatch.setenv("GATEWAY_TOKEN", "mm_first")
    server = ScriptedGateway()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield server
    server.stop()


def test_a_gateway_of_an_unknown_authority_gets_nothing(spool: Spool, secure: ScriptedGateway) -> None:
    fill(spool, 1)
    Sender(spool, Gateway(f"https://127.0.0.1:{secure.server_port}")).step()
    assert secure.requests == []
    assert "certificate verify failed" in spool.told()["last_error"]


def test_a_gateway_of_ones_own_authority_is_sent_to(spool: Spool, secure: ScriptedGateway, certificate: Path) -> None:
    fill(spool, 1)
    Sender(spool, Gateway(f"https://127.0.0.1:{secure.server_port}", ca=str(certificate))).step()
    assert spool.told().get("last_error", "") == ""
    assert (len(secure.requests), spool.waiting()) == (1, 0)
