"""`kubectl rollout` and its kin, in the oldest and the newest version that there is on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.objects.resources import REPLICASETS
from tests.apiserver.kubectl import Kubectl, kubectls
from tests.client.cluster import eventually, with_server
from tests.workloads.deployment.test_deployments import get, images, is_done, start
from tests.workloads.kubelet import kubelet

VERSIONS = sorted(kubectls(), key=lambda version: [int(part) for part in version.split(".")])


@pytest.mark.skipif(not VERSIONS, reason="there is no kubectl on PATH")
@pytest.mark.parametrize("version", sorted({*VERSIONS[:1], *VERSIONS[-1:]}))
def test_what_kubectl_does_to_deployments(version: str, tmp_path: Path) -> None:
    async def story(api: Api) -> None:
        path = tmp_path / "kubeconfig"
        kubeconfig.write(path, api.config.server, api.config.authority, api.config.token)
        kubectl = Kubectl.of(path, kubectls()[version])
        async with kubelet(api):
            await kubectl("create", "deployment", "web", "--image=one", "--replicas=2")
            status = ("rollout", "status", "deployment/web", "--timeout=60s")
            assert 'deployment "web" successfully rolled out' in await kubectl(*status)
            await kubectl("scale", "deployment/web", "--replicas=3")
            await eventually(is_done(api, "one", 3), "it is scaled")
            await kubectl("set", "image", "deployment/web", "*=two")
            assert 'deployment "web" successfully rolled out' in await kubectl(*status)
            await eventually(is_done(api, "two", 3), "it is updated")
            assert "3/3" in await kubectl("get", "deployment", "web")
            assert await revisions(kubectl) == ["1", "2"]
            assert "one" in await kubectl("rollout", "history", "deployment/web", "--revision=1")
            await kubectl("rollout", "undo", "deployment/web")
            await eventually(is_done(api, "one", 3), "it is as before")
            assert await revisions(kubectl) == ["2", "3"]
            await kubectl("rollout", "undo", "deployment/web", "--to-revision=2")
            await eventually(is_done(api, "two", 3), "it is at the revision that was asked for")
            assert await revisions(kubectl) == ["3", "4"]

            await kubectl("rollout", "pause", "deployment/web")
            await kubectl("set", "image", "deployment/web", "*=three")
            await kubectl("scale", "deployment/web", "--replicas=4")

            async def is_paused() -> bool:
                found = await get(api)
                reasons = {each.reason for each in found.status.conditions}
                return "DeploymentPaused" in reasons and found.status.availableReplicas == 4

            await eventually(is_paused, "it is paused, and scaled all the same")
            assert await images(api) == ["two"] * 4
            await kubectl("rollout", "resume", "deployment/web")
            await eventually(is_done(api, "three", 4), "it goes on")
            before = len((await api.list(REPLICASETS, "default")).items)
            await kubectl("rollout", "restart", "deployment/web")
            assert 'deployment "web" successfully rolled out' in await kubectl(*status)
            assert len((await api.list(REPLICASETS, "default")).items) == before + 1
            assert "NewReplicaSet:" in await kubectl("describe", "deployment", "web")
            await kubectl("delete", "deployment", "web")

            async def is_gone() -> bool:
                return not (await images(api) or (await api.list(REPLICASETS, "default")).items)

            await eventually(is_gone, "nothing is left")

    async def revisions(kubectl: Kubectl) -> list[str]:
        lines = (await kubectl("rollout", "history", "deployment/web")).splitlines()
        return [line.split()[0] for line in lines if line[:1].isdigit()]

    with_server(story, start)
