from pathlib import Path

import pytest
import yaml

from launch import main
from launch.errors import ServiceError
from launch.kubernetes_api import connect
from tests.helpers.gke import JOBS, PODS, condition, job_object
from tests.helpers.loopback import Loopback


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client looks for its kubeconfig; there is none yet."""
    path = tmp_path / "config"
    # The client reads KUBECONFIG when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return path


def _write(path: Path, url: str) -> None:
    """A kubeconfig with the context `here`, which is not the current one."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
            {"name": "elsewhere", "context": {"cluster": "none", "user": "u"}},
        ],
        "current-context": "elsewhere",
    }
    path.write_text(yaml.safe_dump(content))


def test_what_the_kubeconfig_lacks_is_named(kubeconfig: Path) -> None:
    _write(kubeconfig, "http://127.0.0.1:1")
    with pytest.raises(ServiceError, match=r"^--context=prod: no cluster.*prod.*get-credentials"):
        connect("prod")
    with pytest.raises(ServiceError, match=r"^no --context: no cluster"):
        connect("")


def test_context_names_the_cluster(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as cluster:
        _write(kubeconfig, cluster.url)
        cluster.on("GET", f"{JOBS}/mnist", job_object(conditions=[condition("Failed", "Because")]))
        cluster.on("GET", PODS, {"items": []})
        assert main.main(["status", "--backend=gke", "--context=here", "mnist"]) == 1
    assert cluster.requests[0].headers["authorization"] == "Bearer secret"
    assert "failed" in capsys.readouterr().out


def test_the_command_line_says_in_one_line_that_there_is_no_cluster(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["list", "--backend=gke"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: no --context: no cluster to talk to (")
    assert "get-credentials" in error and error.count("\n") == 1


def test_within_a_cluster_no_kubeconfig_is_needed(
    kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, certificate = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("pod-token")
    certificate.write_text("certificate")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name, path in (("TOKEN", token), ("CERT", certificate)):
        monkeypatch.setattr(
            f"kubernetes.config.incluster_config.SERVICE_{name}_FILENAME", str(path)
        )
    # The certificate is none, so only the settings can be looked at.
    monkeypatch.setattr(
        "launch.kubernetes_api.client.ApiClient", lambda configuration: configuration
    )
    assert connect("").host == "https://10.0.0.1:443"
