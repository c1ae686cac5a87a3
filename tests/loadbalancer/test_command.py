"""`fairlead loadbalancer` as a shell runs it, in a cluster that is strange to it, with the rights that it asks for."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from fairlead.client import kubeconfig
from fairlead.objects.core_v1 import ServicePort
from fairlead.objects.resources import LEASES
from tests.cli.test_commands import FAIRLEAD, answer, running
from tests.client.cluster import eventually
from tests.loadbalancer.cluster import Cluster, scenario
from tests.loopback import free_ports, own_address

POOL = """
apiVersion: fairlead.dev/v1
kind: IPAddressPool
metadata: {name: lan}
spec: {addresses: [192.0.2.1-192.0.2.9]}
"""


def test_the_command_serves_a_cluster(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.stop()  # the one that is in every test
        printed = await asyncio.to_thread(
            subprocess.run,
            [FAIRLEAD, "loadbalancer", "manifests"],
            capture_output=True,
            text=True,
            check=True,
        )
        await cluster.kubectl("delete", "clusterrole,clusterrolebinding", "fairlead:loadbalancer")
        await cluster.kubectl("apply", "-f", "-", text=printed.stdout)
        await cluster.kubectl(
            "wait", "--for=condition=Established", "crd/ipaddresspools.fairlead.dev", "--timeout=60s"
        )
        await cluster.kubectl("apply", "-f", "-", text=POOL)
        file = tmp_path / "limited"
        api = cluster.limited
        kubeconfig.write(file, api.server, cluster.authority, "limited")
        health = f"{own_address()}:{free_ports(1)[0]}"
        words = [
            "loadbalancer",
            *("--kubeconfig", str(file), "--health", health),
            *("--pool", "extra=198.51.100.7", "--loadbalancer-class", "example.com/lb"),
        ]

        def ready() -> bool:
            return answer(f"http://{health}/readyz") == (200, "ok")

        async def is_ready() -> bool:
            return await asyncio.to_thread(ready)

        with running(*words, "--default-class=false", folder=tmp_path):
            await eventually(is_ready, "it is ready")
            await cluster.make("nobodys")
            await cluster.make(
                "ours", {"fairlead.dev/address-pool": "lan"}, loadBalancerClass="example.com/lb"
            )
            await cluster.has("ours", "192.0.2.1")
            lease = await cluster.api.get(LEASES, "fairlead-loadbalancer", "kube-system")
            assert lease.spec.holderIdentity
            assert await cluster.addresses("nobodys") == []
            figures = (await asyncio.to_thread(answer, f"http://{health}/metrics"))[1]
            assert 'fairlead_loadbalancer_addresses_in_use{pool="lan"} 1.0' in figures
            assert 'fairlead_loadbalancer_addresses{pool="lan"} 9.0' in figures
            assert 'fairlead_loadbalancer_addresses{pool="extra"} 1.0' in figures
        with running(*words, "--leader-elect=false", folder=tmp_path):
            await eventually(is_ready, "it is ready")
            tls = (ServicePort(port=443, protocol="TCP"),)
            await cluster.make("ask", loadBalancerIP="192.0.2.9", ports=tls)
            await cluster.has("ask", "192.0.2.9")
            await cluster.has("nobodys", "198.51.100.7")
            await cluster.has("ours", "192.0.2.1")
        await cluster.start()

    scenario(test)
