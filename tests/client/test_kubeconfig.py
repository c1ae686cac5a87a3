from __future__ import annotations

import base64
import stat
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.client.kubeconfig import KubeconfigError, load, write

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fairlead.kubeconfig"
    write(path, "https://192.168.1.1:6443", PEM, "secret", name="lab", namespace="shop")
    config = load(path)
    assert (config.server, config.authority, config.token) == ("https://192.168.1.1:6443", PEM, "secret")
    assert config.namespace == "shop"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["fairlead.kubeconfig"]


def test_what_was_there_is_replaced_and_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("something else")
    path.chmod(0o644)
    write(path, "https://127.0.0.1:6443", PEM, "secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path).token == "secret"


def kubeconfig(path: Path, *, cluster: object = None, user: object = None, **rest: object) -> Path:
    data = {
        "clusters": [
            {"name": "c", "cluster": {"server": "https://127.0.0.1:6443/"} if cluster is None else cluster}
        ],
        "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **rest,
    }
    path.write_text(yaml.safe_dump(data))
    return path


def test_files_are_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(PEM)
    (tmp_path / "client.crt").write_bytes(b"certificate")
    (tmp_path / "client.key").write_bytes(b"key")
    config = load(
        kubeconfig(
            tmp_path / "config",
            cluster={"server": "https://127.0.0.1:6443/", "certificate-authority": "ca.crt"},
            user={"client-certificate": "client.crt", "client-key": "client.key", "tokenFile": "token"},
        )
    )
    assert (config.authority, config.client_certificate, config.client_key) == (PEM, b"certificate", b"key")
    assert config.token_file == tmp_path / "token"
    assert config.server == "https://127.0.0.1:6443"


def test_the_variable_may_name_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "first"
    first.write_text(yaml.safe_dump({"users": [{"name": "u", "user": {"token": "first"}}]}))
    second = kubeconfig(tmp_path / "second")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    assert load().token == "first"


def test_a_context_can_be_chosen(tmp_path: Path) -> None:
    contexts = [{"name": "x", "context": {}}, {"name": "y", "context": {"cluster": "c", "namespace": "shop"}}]
    config = load(kubeconfig(tmp_path / "config", contexts=contexts), "y")
    assert (config.namespace, config.token) == ("shop", "")


def test_inside_a_pod_its_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("ca.crt", "ca"), ("token", "t"), ("namespace", "shop\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("fairlead.client.kubeconfig.ACCOUNT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    config = load()
    assert (config.server, config.namespace) == ("https://10.96.0.1:443", "shop")
    assert config.token_file == tmp_path / "token"


@pytest.mark.parametrize(
    ("case", "content", "said"),
    [
        ("missing", None, "No such file"),
        ("not YAML", "a: [", "is not YAML"),
        ("empty", "", "is empty"),
        ("no current context", "kind: Config", "has no current-context"),
        ("unknown context", "current-context: nowhere", 'has no context named "nowhere"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_name_the_file_and_the_entry(
    tmp_path: Path, case: str, content: str | None, said: str
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeconfigError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value), case


@pytest.mark.parametrize(
    ("user", "cluster", "said"),
    [
        ({"auth-provider": {"name": "gcp"}}, None, 'logs in by "auth-provider"'),
        (None, {"server": ""}, "has no server"),
        (None, {"server": "https://a", "certificate-authority-data": "%%"}, "is not base64"),
        (None, {"server": "https://a", "certificate-authority": "none"}, "No such file"),
        (None, {"server": "ftp://a"}, "use https://ADDRESS:PORT"),
        (None, {"server": "https://a:port"}, "use https://ADDRESS:PORT"),
        (None, {"server": "https://a", "proxy-url": "socks5://b:1080"}, "speaks socks5"),
        (
            None,
            {"server": "https://a", "certificate-authority-data": "QQ==", "insecure-skip-tls-verify": True},
            "remove one of the two",
        ),
        ({"client-certificate-data": "QQ=="}, None, "has no client-key"),
        ({"client-key-data": "QQ=="}, None, "has no client-certificate"),
    ],
)
def test_entries_that_cannot_be_used(tmp_path: Path, user: object, cluster: object, said: str) -> None:
    with pytest.raises(KubeconfigError, match=said):
        load(kubeconfig(tmp_path / "config", user=user, cluster=cluster))


def test_without_any_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeconfigError, match="give one with --kubeconfig"):
        load()


def test_data_wins_over_a_file(tmp_path: Path) -> None:
    cluster = {
        "server": "https://a",
        "certificate-authority-data": base64.b64encode(PEM).decode(),
        "certificate-authority": "missing",
    }
    assert load(kubeconfig(tmp_path / "config", cluster=cluster)).authority == PEM


@pytest.mark.parametrize(
    ("cluster", "server"),
    [
        ({"server": "10.0.0.1:8080"}, "http://10.0.0.1:8080"),
        ({"server": "10.0.0.1:6443", "certificate-authority-data": "QQ=="}, "https://10.0.0.1:6443"),
        ({"server": "10.0.0.1:6443", "insecure-skip-tls-verify": True}, "https://10.0.0.1:6443"),
        ({"server": "https://10.0.0.1:6443/k8s/clusters/c-1/"}, "https://10.0.0.1:6443/k8s/clusters/c-1"),
    ],
)
def test_a_server_may_be_named_in_short(tmp_path: Path, cluster: object, server: str) -> None:
    assert load(kubeconfig(tmp_path / "config", cluster=cluster)).server == server


def test_a_proxy_is_read(tmp_path: Path) -> None:
    cluster = {"server": "https://a", "proxy-url": "http://proxy:3128"}
    assert load(kubeconfig(tmp_path / "config", cluster=cluster)).proxy == "http://proxy:3128"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70000) | st.sampled_from(["", "x", "c", "u", "https://a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "cluster", "user", "context", "server", "exec", "token", "command", "env"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.fixed_dictionaries(
        {
            "current-context": ANYTHING | st.just("x"),
            "contexts": ANYTHING
            | st.just([{"name": "x", "context": {"cluster": "c", "user": "u"}}])
            | ANYTHING.map(lambda value: [{"name": "x", "context": value}]),
            "clusters": ANYTHING | ANYTHING.map(lambda value: [{"name": "c", "cluster": value}]),
            "users": ANYTHING | ANYTHING.map(lambda value: [{"name": "u", "user": value}]),
        }
    )
)
def test_whatever_a_kubeconfig_holds_it_is_read_or_an_error_says_why(tmp_path: Path, data: object) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(data))
    with suppress(KubeconfigError):  # and nothing else
        load(path)
