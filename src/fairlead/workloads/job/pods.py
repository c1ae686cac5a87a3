"""The pod of a Job, as its template has it; in an Indexed Job it knows its index.

Upstream: manageJob, addCompletionIndexEnvVariables in pkg/controller/job.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.batch_v1 import Job
from fairlead.objects.core_v1 import Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod
from fairlead.workloads.job import indexes
from fairlead.workloads.job.survey import FAILURES, FINALIZER
from fairlead.workloads.podcontrol import pod_from

VARIABLE = "JOB_COMPLETION_INDEX"


def pod_for(job: Job, index: int | None, failures: int | None = None) -> Pod:
    """The pod to be made, with the finalizer that keeps it until it is counted.

    `failures` says how often the index has failed before, in a Job that counts them for each.
    """
    pod = pod_from(job.spec.template, job)
    meta = replace(pod.metadata, finalizers=(*pod.metadata.finalizers, FINALIZER))
    if index is None:
        return replace(pod, metadata=meta)
    own = {indexes.ANNOTATION: str(index)}
    counted = {FAILURES: str(failures)} if failures is not None else {}
    name = f"{job.metadata.name}-{index}"
    spec = pod.spec
    return replace(
        pod,
        metadata=replace(
            meta,
            generateName=f"{name}-",
            labels={**meta.labels, **own},
            annotations={**meta.annotations, **own, **counted},
        ),
        spec=replace(
            spec,
            hostname=name,
            containers=tuple(map(_with_index, spec.containers)),
            initContainers=tuple(map(_with_index, spec.initContainers)),
        ),
    )


def _with_index(container: Container) -> Container:
    if any(variable.name == VARIABLE for variable in container.env):
        return container
    source = EnvVarSource(fieldRef=ObjectFieldSelector(fieldPath=f"metadata.labels['{indexes.ANNOTATION}']"))
    return replace(container, env=(*container.env, EnvVar(name=VARIABLE, valueFrom=source)))
