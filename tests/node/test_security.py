"""What a container may do, by its securityContext and its pod's: as plain values, and as the kernel has it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from fairlead.node import rejection, resolver, security, servicelinks
from fairlead.node.security import CAPABILITIES, DEFAULT_CAPABILITIES, NotNonRoot
from fairlead.objects import codec
from fairlead.objects.core_v1 import Container, Pod, Service
from fairlead.objects.resources import EVENTS
from tests.client.cluster import eventually as holds
from tests.node.places import Cluster, root, with_cluster
from tests.node.pods import state, waits
from tests.ordinary import user_namespaces


def pod(container: dict[str, Any] | None = None, **spec: Any) -> Pod:
    meta = {"name": "web-0", "namespace": "shop", "uid": "u"}
    one = {"name": "c", **({"securityContext": container} if container else {})}
    return codec.decode(Pod, codec.encode({"metadata": meta, "spec": {"containers": [one], **spec}}))


def security_of(made: Pod, image_user: str = "") -> security.Security:
    return security.of(made, made.spec.containers[0], image_user)


def test_a_containers_own_fields_come_before_its_pods() -> None:
    made = pod(
        {"runAsUser": 5, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]},
    )
    found = security_of(made)
    assert (found.user, found.group, found.groups) == (5, 2, (4, 3))
    assert (found.read_only_root, found.no_new_privileges, found.privileged) == (True, True, False)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (None, DEFAULT_CAPABILITIES),
        ({"drop": ["ALL"]}, set()),
        ({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, {"NET_BIND_SERVICE"}),
        ({"drop": ["CAP_CHOWN"], "add": ["net_admin"]}, DEFAULT_CAPABILITIES - {"CHOWN"} | {"NET_ADMIN"}),
        ({"add": ["ALL"], "drop": ["SYS_ADMIN"]}, set(CAPABILITIES) - {"SYS_ADMIN"}),
        ({"add": ["NO_SUCH"]}, DEFAULT_CAPABILITIES),
    ],
)
def test_capabilities(changes: dict[str, list[str]] | None, names: set[str]) -> None:
    context = {"capabilities": changes} if changes else {}
    made = codec.decode(Container, codec.encode({"name": "c", "securityContext": context}))
    assert set(security.capabilities(made)) == names


WHERE = '(pod: "web-0_shop(u)", container: c)'


@pytest.mark.parametrize(
    ("context", "image_user", "problem"),
    [
        ({"runAsUser": 1000}, "", ""),
        ({}, "1000", ""),
        ({"runAsUser": 0}, "1000", f"container's runAsUser breaks non-root policy {WHERE}"),
        ({}, "", f"container has runAsNonRoot and image will run as root {WHERE}"),
        (
            {},
            "redis:redis",
            "container has runAsNonRoot and image has non-numeric user (redis), cannot verify user is non-root "
            + WHERE,
        ),
    ],
)
def test_run_as_non_root(context: dict[str, Any], image_user: str, problem: str) -> None:
    made = pod({"runAsNonRoot": True, **context})
    if not problem:
        security_of(made, image_user)
        return
    with pytest.raises(NotNonRoot) as raised:
        security_of(made, image_user)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("name", "spec", "why"),
    [
        ("net.ipv4.tcp_syncookies", {}, None),
        ("net/ipv4/conf/eth0.1/forwarding", {}, None),
        ("kernel.shm_rmid_forced", {}, None),
        ("kernel.panic", {}, '"kernel.panic" not allowlisted'),
        (
            "net.core.somaxconn",
            {"hostNetwork": True},
            '"net.core.somaxconn" not allowed with host net enabled',
        ),
        ("kernel.sem", {"hostIPC": True}, '"kernel.sem" not allowed with host ipc enabled'),
    ],
)
def test_sysctls_of_others_are_rejected(name: str, spec: dict[str, Any], why: str | None) -> None:
    failure = rejection.rejection(pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec))
    assert (failure.message if failure else None) == (
        f"Pod was rejected: forbidden sysctl: {why}" if why else None
    )
    assert failure is None or failure.reason == "SysctlForbidden"


def service(name: str, address: str, *ports: dict[str, Any]) -> Service:
    body = {"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": list(ports)}}
    return codec.decode(Service, codec.encode(body))


def test_the_variables_of_services() -> None:
    web = service("my-web", "10.96.0.5", {"name": "http-x", "port": 80}, {"port": 53, "protocol": "UDP"})
    assert servicelinks.variables([web, service("none", "None", {"port": 1})]) == {
        "MY_WEB_SERVICE_HOST": "10.96.0.5",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP_X": "80",
        "MY_WEB_PORT": "tcp://10.96.0.5:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.96.0.5:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.96.0.5",
        "MY_WEB_PORT_53_UDP": "udp://10.96.0.5:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
        "MY_WEB_PORT_53_UDP_PORT": "53",
        "MY_WEB_PORT_53_UDP_ADDR": "10.96.0.5",
    }
    six = servicelinks.variables([service("six", "fd00::1", {"port": 80})])
    assert six["SIX_PORT_80_TCP"] == "tcp://[fd00::1]:80"


def test_search_paths_beyond_the_c_librarys_old_limits() -> None:
    searches = [f"zone-{number:02}.under_score.{'x' * 20}.example.org" for number in range(35)]
    made = pod(dnsPolicy="None", dnsConfig={"nameservers": ["9.9.9.9"], "searches": [".", *searches]})
    said = resolver.resolv_conf(made, [], "cluster.local", "").splitlines()[0].split()
    assert said == ["search", ".", *searches[:31]]
    long = [f"{'y' * 60}.{number:02}.example.org" for number in range(32)]
    made = pod(dnsPolicy="None", dnsConfig={"nameservers": ["9.9.9.9"], "searches": long})
    line = resolver.resolv_conf(made, [], "cluster.local", "").splitlines()[0]
    assert 1900 < len(line.removeprefix("search ")) <= 2048
    assert resolver.resolv_conf(pod(dnsPolicy="Default"), [], "x", "search a.org. .\n") == "search a.org .\n"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({}, "web-0"),
        ({"hostname": "db", "subdomain": "sub"}, "db"),
        ({"subdomain": "sub", "setHostnameAsFQDN": True}, "web-0.sub.shop.svc.cluster.local"),
        ({"setHostnameAsFQDN": True}, "web-0"),
    ],
)
def test_host_names(spec: dict[str, Any], name: str) -> None:
    assert resolver.kernel_hostname(pod(**spec), "cluster.local") == name


def script(text: str, **context: Any) -> dict[str, Any]:
    """A container that succeeds if every line of the script does; the failing line is in its log."""
    return {"image": "any", "command": ["sh", "-exc", text], "securityContext": context}


def bit(*names: str) -> str:
    return f"{sum(1 << CAPABILITIES[name] for name in names):016x}"


PLAIN = (
    f"grep -q 'CapEff:.{bit(*DEFAULT_CAPABILITIES)}' /proc/self/status; test $(id -u) = 0;"
    " ! touch /proc/sys/kernel/panic_on_oops; ! echo 1 >/proc/sys/net/ipv4/ip_forward; test -c /dev/null;"
    " test -e /dev/pts/ptmx; test ! -e /dev/mem; ls /sys/class/net/eth0; test -w /dev/shm;"
    " test $(cat /proc/sys/net/ipv4/tcp_fin_timeout) = 33; test $MY_ENV = 64; hostname | grep -x named"
)
NARROW = (
    "test $(id -u):$(id -g) = 1000:3000; id -G | grep 4000; id -G | grep 5000;"
    f" grep -q 'NoNewPrivs:.1' /proc/self/status;"
    f" grep -q 'CapBnd:.{bit('NET_BIND_SERVICE')}' /proc/self/status; grep -q 'CapEff:.0*$' /proc/self/status;"
    " ! touch /tmp/x; ! touch /etc/x; ! touch /x; touch /cache/x;"
    " echo again >/dev/stdout; test $(stat -c %g /cache/x) = 5000; touch /dev/shm/x"
)


@root
def test_a_container_is_confined_as_it_says(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        limit = {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}
        plain = {
            **script(PLAIN),
            "resources": {"limits": {"memory": "64Mi"}},
            "env": [{"name": "MY_ENV", "valueFrom": limit}],
        }
        sysctl = {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": "33"}]}
        await cluster.run("plain", plain, restartPolicy="Never", securityContext=sysctl, hostname="named")
        narrow = script(
            NARROW,
            runAsUser=1000,
            runAsGroup=3000,
            readOnlyRootFilesystem=True,
            allowPrivilegeEscalation=False,
            capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        )
        narrow["volumeMounts"] = [{"name": "cache", "mountPath": "/cache"}]
        await cluster.run(
            "narrow",
            narrow,
            restartPolicy="Never",
            volumes=[{"name": "cache", "emptyDir": {}}],
            securityContext={"supplementalGroups": [4000], "fsGroup": 5000},
        )
        free = script(
            "test -e /dev/kmsg; echo 1 >/proc/sys/net/ipv4/ip_forward; ip link add x type veth",
            privileged=True,
        )
        await cluster.run("free", free, restartPolicy="Never")
        outer = script("test -d /proc/$OUTER; test $(cat /proc/$OUTER/comm) != sh")
        outer["env"] = [{"name": "OUTER", "value": "1"}]
        await cluster.run("outer", outer, restartPolicy="Never", hostPID=True, hostIPC=True)
        await cluster.run("refused", script("true", runAsNonRoot=True))
        wrong = {"sysctls": [{"name": "kernel.panic", "value": "1"}]}
        await cluster.run("wrong", script("true"), securityContext=wrong)
        for name in ("plain", "narrow", "free", "outer"):
            done = await cluster.until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
            logs = (cluster.config.state_directory / "pods" / done.metadata.uid / "logs").rglob("*.log")
            assert done.status.phase == "Succeeded", (name, [log.read_text() for log in logs], state(done))
        refused = await cluster.until("refused", waits("CreateContainerConfigError"))
        waiting = state(refused).state.waiting
        assert waiting is not None
        assert waiting.message.startswith("container has runAsNonRoot and image will run as root")
        failed = await cluster.until("wrong", lambda pod: pod.status.phase == "Failed")
        assert failed.status.reason == "SysctlForbidden"
        assert failed.status.message == 'Pod was rejected: forbidden sysctl: "kernel.panic" not allowlisted'

        async def told() -> bool:
            return "SysctlForbidden" in {e.reason for e in (await cluster.api.list(EVENTS, "default")).items}

        await holds(told, "an Event tells of it")

    with_cluster(tmp_path, test)


@root
@user_namespaces
def test_an_ordinary_users_container_has_other_users_and_folders_too() -> None:
    async def test(cluster: Cluster) -> None:
        text = (
            "test $(id -u):$(id -g) = 1000:3000; grep -q 'CapEff:.0*$' /proc/self/status; touch /tmp/x /data/x;"
            " test $(stat -c %u /tmp/x) = 1000; mkdir -p /var/lib/fairlead-test /srv/x /opt/y; echo x >/etc/x.conf;"
            " grep -q x /etc/x.conf; test -r /etc/passwd; ls /usr/bin/env; touch /no/such/place/y"
        )
        mounts = [{"name": "v", "mountPath": "/data"}, {"name": "v", "mountPath": "/no/such/place"}]
        await cluster.run(
            "user",
            {**script(text, runAsUser=1000, runAsGroup=3000), "volumeMounts": mounts},
            volumes=[{"name": "v", "emptyDir": {}}],
            securityContext={"fsGroup": 7},
            restartPolicy="Never",
        )
        done = await cluster.until("user", lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        logs = (cluster.config.state_directory / "pods" / done.metadata.uid / "logs").rglob("*.log")
        assert done.status.phase == "Succeeded", ([log.read_text() for log in logs], state(done))

    # What the container makes is not made on the host, whatever that has.
    places = [Path(path) for path in ("/var/lib/fairlead-test", "/srv/x", "/etc/x.conf", "/no", "/data")]
    there = [path for path in places if path.exists()]
    with tempfile.TemporaryDirectory() as folder:
        with_cluster(Path(folder), test, ordinary=True)
    assert [path for path in places if path.exists()] == there
