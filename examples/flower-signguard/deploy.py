"""The same app as a real deployment on this machine: SuperLink and SuperNodes as processes of their own.

TLS with certificates made here, and one key for each node, registered before the node may take part:

    python deploy.py --nodes 10 --byzantine 2 --rounds 5 --folder deployment

The folder then has certificates, keys, the logs of every process, the audit and the accuracies.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

APP = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
CONNECTION = "loopback"
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


class Federation:
    """A SuperLink and its SuperNodes; all of them end with the ``with`` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # A private home, so that nothing of the user's is read or changed, and Flower's own tools beside this Python.
        home = {"FLWR_HOME": str(self.folder / "flwr"), "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
        self.environment = {**os.environ, **QUIET, **home}

    def __enter__(self) -> Federation:
        make_certificates(self.folder)
        self._configure()
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--enable-supernode-auth"]
        arguments += ["--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "server.crt", "--ssl-keyfile", "server.key"]
        self.start("superlink", "flower-superlink", *arguments, "--isolation", "subprocess")
        self._wait_for_port("superlink", self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)

    def _configure(self) -> None:
        home = self.folder / "flwr"
        home.mkdir(exist_ok=True)
        lines = ["[superlink]", f'default = "{CONNECTION}"', f"[superlink.{CONNECTION}]"]
        lines += [
            f'address = "127.0.0.1:{self.port}"',
            f"root-certificates = {json.dumps(str(self.folder / 'ca.crt'))}",
        ]
        (home / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    # --- processes ------------------------------------------------------------------------------------------

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a process in the folder, in a group of its own; its output goes to ``name.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        """End a process and all that it started."""
        process = self.processes.pop(name)
        for number, patience in ((how, 10.0), (signal.SIGKILL, 10.0)):
            try:
                os.killpg(process.pid, number)
                process.wait(patience)
            except ProcessLookupError:
                process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue
        # The leader is gone; what it started may not be.

    def log(self, name: str) -> str:
        """What a process said so far."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _wait_for_port(self, name: str, port: int, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} ended at once:\n{self.log(name)}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)
        raise RuntimeError(f"{name} did not listen on port {port} within {seconds:.0f} s:\n{self.log(name)}")

    # --- nodes and runs -------------------------------------------------------------------------------------

    def flwr(self, *command: str, timeout: float = 60.0) -> str:
        """One command of Flower's command line."""
        done = subprocess.run(
            [str(BIN / "flwr"), *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"flwr {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def register(self, partition: int) -> str:
        """Make a node's key and make it known to the SuperLink; its node id."""
        make_key(self.folder / f"node-{partition}")
        answer = self.flwr("supernode", "register", f"node-{partition}.pub", CONNECTION, "--format", "json")
        return str(json.loads(answer)["node-id"])

    def deal(self, nodes: int) -> None:
        """Give each of so many nodes a file of images of its own."""
        command = [sys.executable, "-m", "signguard_app.deal", str(self.folder), "--nodes", str(nodes)]
        subprocess.run(command, cwd=APP, env=self.environment, check=True, timeout=120)

    def start_node(self, partition: int, attacks: bool = False) -> subprocess.Popen[bytes]:
        """Start a node, which shows its key to the SuperLink; without a registered one it is turned away."""
        name = f"node-{partition}"
        if not (self.folder / name).exists():
            make_key(self.folder / name)
        arguments = ["--superlink", f"127.0.0.1:{self.port}", "--root-certificates", "ca.crt"]
        arguments += ["--auth-supernode-private-key", name, "--port", str(free_port()), "--isolation", "subprocess"]
        arguments += ["--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "server.crt", "--ssl-keyfile", "server.key"]
        data = json.dumps(str(self.folder / f"{name}.npz"))
        arguments += ["--node-config", f"data-path={data} attacks={json.dumps(attacks)}"]
        return self.start(name, "flower-supernode", *arguments)

    def online(self) -> int:
        """How many nodes the SuperLink says are online."""
        found = json.loads(self.flwr("supernode", "list", CONNECTION, "--format", "json"))
        return sum(node["status"] == "online" for node in found["nodes"])

    def run(self, **config: object) -> subprocess.Popen[bytes]:
        """Start the app; it ends when the run does."""
        given = " ".join(f"{key.replace('_', '-')}={json.dumps(value)}" for key, value in config.items())
        return self.start("run", "flwr", "run", str(APP), CONNECTION, "--stream", "--run-config", given)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path) -> None:
    """A node's key pair, P-384, as OpenSSH writes it: ``path`` and ``path.pub``."""
    key = ec.generate_private_key(ec.SECP384R1())
    _write(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, _PLAIN))
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write(path.with_name(path.name + ".pub"), public + b"\n")


def make_certificates(folder: Path) -> None:
    """An authority of our own and a certificate of it for 127.0.0.1, both for 30 days."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _name("flower-signguard authority"), _name("localhost")
    ca_usage = x509.KeyUsage(*(i in (5, 6) for i in range(9)))  # signs certificates and lists of revoked ones
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    ca = (
        _certificate(ca_name, ca_name, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority, hashes.SHA256())
    )
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = (
        _certificate(name, ca_name, server.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority, hashes.SHA256())
    )
    _write(folder / "ca.crt", ca.public_bytes(serialization.Encoding.PEM))
    _write(folder / "server.crt", leaf.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _write(folder / "server.key", server.private_bytes(pem, pkcs8, _PLAIN))


_PLAIN = serialization.NoEncryption()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=30))
    )


def _write(path: Path, content: bytes) -> None:
    """Keys are nobody else's to read."""
    path.unlink(missing_ok=True)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)


def main() -> None:
    """Deploy, run, show who was dropped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--byzantine", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rule", default="sign-guard")
    parser.add_argument("--folder", type=Path, default=Path("deployment"))
    given = parser.parse_args()
    with Federation(given.folder) as federation:
        print(f"SuperLink on 127.0.0.1:{federation.port}, TLS; logs in {federation.folder}")
        federation.deal(given.nodes)
        attacking = []
        for partition in range(given.nodes):
            node = federation.register(partition)
            attacking += [node] * (partition < given.byzantine)
            federation.start_node(partition, attacks=partition < given.byzantine)
        while (online := federation.online()) < given.nodes:
            print(f"{online} of {given.nodes} nodes are online")
            time.sleep(1)
        print(f"All {given.nodes} nodes are online; {', '.join(attacking) or 'none'} will attack")
        audit, save = federation.folder / "audit.jsonl", federation.folder / "accuracy.json"
        config = {"rounds": given.rounds, "rule": given.rule, "nodes": given.nodes}
        process = federation.run(**config, audit=str(audit), save=str(save))
        shown = 0
        while process.poll() is None:
            time.sleep(1)
            lines = audit.read_text(encoding="utf-8").splitlines() if audit.exists() else []
            for line in lines[shown:]:
                entry = json.loads(line)
                if "evaluated" in entry:  # what the model was found to be, which is printed at the end
                    continue
                called = [(n.get("name", n["node"]), n) for n in entry["nodes"] if not n["accepted"]]
                dropped = [f"{name} ({n['reason']})" for name, n in called]
                print(f"round {entry['round']}: dropped {', '.join(dropped) or 'nobody'}")
            shown = len(lines)
        if not save.exists():
            raise SystemExit(f"the run ended early; see {federation.folder / 'run.log'}")
        print("accuracy:", ", ".join(f"{100 * value:.1f} %" for value in json.loads(save.read_text()).values()))


if __name__ == "__main__":
    main()
