"""A container of a pod's spec as the request to start it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.node import environment, images, records, security
from fairlead.objects.core_v1 import Container, Pod


def make(
    pod: Pod,
    container: Container,
    attempt: int,
    values: dict[str, str],
    known: Mapping[str, images.Image],
    mounts: tuple[records.Mount, ...] = (),
) -> records.Start:
    """What the sandbox is asked for: the container's program, with `values` as its environment. Pure."""
    found = images.find(container.image, known)
    pattern, image = found if found else ("", images.Image())
    entry = image.entrypoint
    arguments = container.args or image.command
    if container.command:
        entry, arguments = container.command, container.args
    allowed = security.of(pod, container, image.user)
    return records.Start(
        name=container.name,
        attempt=attempt,
        image=container.image,
        argv=tuple(environment.expand(word, values) for word in (*entry, *arguments)),
        builtin=pattern if images.program(image) is not None and not container.command else "",
        message_policy=container.terminationMessagePolicy,
        environment=values,
        directory=container.workingDir or image.directory,
        root=str(image.root) if image.root else "",
        stdin=container.stdin,
        stdin_once=container.stdinOnce,
        tty=container.tty,
        over_host=image.overlay,
        files=dict(image.files),
        links=dict(image.links),
        mounts=mounts,
        user=allowed.user,
        image_user=image.user,
        group=allowed.group,
        groups=allowed.groups,
        capabilities=allowed.capabilities,
        privileged=allowed.privileged,
        read_only_root=allowed.read_only_root,
        no_new_privileges=allowed.no_new_privileges,
        unmasked_proc=allowed.unmasked_proc,
    )
