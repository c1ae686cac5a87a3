"""Rows of tables for workloads and what is stored beside them: what kubectl shows of one object, cell by cell.

Upstream: the print functions of pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.apiserver.ages import between, since
from fairlead.apiserver.rows import NONE, SHOWN, UNSET, Cells
from fairlead.objects import (
    admissionregistration_v1,
    apps_v1,
    autoscaling_v1,
    autoscaling_v2,
    batch_v1,
    core_v1,
    labels,
    networking_v1,
    policy_v1,
    scheduling_v1,
)
from fairlead.objects.meta_v1 import LabelSelector

NOT_GIVEN = "N/A"


def _selector(selector: LabelSelector | None) -> str:
    try:
        return str(labels.from_selector(selector)) or NONE
    except ValueError:
        return "<error>"


def _labels(given: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(given.items())) or NONE


def _containers(template: core_v1.PodTemplateSpec | None) -> tuple[str, str]:
    """The names and the images of a template's containers."""
    found: Sequence[core_v1.Container] = template.spec.containers if template is not None else ()
    return ",".join(one.name for one in found), ",".join(one.image for one in found)


def replicationcontroller(controller: core_v1.ReplicationController, now: float) -> Cells:
    """Name, replicas wanted, there, ready, age, containers, images, selector."""
    spec, status = controller.spec, controller.status
    counted = [spec.replicas or 0, status.replicas, status.readyReplicas]
    age = since(controller.metadata.creationTimestamp, now)
    return [controller.metadata.name, *counted, age, *_containers(spec.template), _labels(spec.selector)]


def replicaset(replica_set: apps_v1.ReplicaSet, now: float) -> Cells:
    """Name, replicas wanted, there, ready, age, containers, images, selector."""
    spec, status = replica_set.spec, replica_set.status
    counted = [spec.replicas or 0, status.replicas, status.readyReplicas]
    age = since(replica_set.metadata.creationTimestamp, now)
    return [replica_set.metadata.name, *counted, age, *_containers(spec.template), _selector(spec.selector)]


def deployment(deployment: apps_v1.Deployment, now: float) -> Cells:
    """Name, replicas ready of those wanted, up to date, available, age, containers, images, selector."""
    spec, status = deployment.spec, deployment.status
    return [
        deployment.metadata.name,
        f"{status.readyReplicas}/{spec.replicas or 0}",
        status.updatedReplicas,
        status.availableReplicas,
        since(deployment.metadata.creationTimestamp, now),
        *_containers(spec.template),
        _selector(spec.selector),
    ]


def statefulset(stateful_set: apps_v1.StatefulSet, now: float) -> Cells:
    """Name, replicas ready of those wanted, age, containers, images."""
    spec, status = stateful_set.spec, stateful_set.status
    ready = f"{status.readyReplicas}/{spec.replicas or 0}"
    age = since(stateful_set.metadata.creationTimestamp, now)
    return [stateful_set.metadata.name, ready, age, *_containers(spec.template)]


def daemonset(daemon_set: apps_v1.DaemonSet, now: float) -> Cells:
    """Name, pods wanted, there, ready, up to date, available, node selector, age, containers, images, selector."""
    spec, status = daemon_set.spec, daemon_set.status
    return [
        daemon_set.metadata.name,
        status.desiredNumberScheduled,
        status.currentNumberScheduled,
        status.numberReady,
        status.updatedNumberScheduled,
        status.numberAvailable,
        _labels(spec.template.spec.nodeSelector),
        since(daemon_set.metadata.creationTimestamp, now),
        *_containers(spec.template),
        _selector(spec.selector),
    ]


def controllerrevision(revision: apps_v1.ControllerRevision, now: float) -> Cells:
    """Name, whose it is, its number, age."""
    owner = next((one for one in revision.metadata.ownerReferences if one.controller), None)
    whose = NONE
    if owner is not None:
        group = owner.apiVersion.rpartition("/")[0]
        whose = f"{owner.kind.lower()}{'.' if group else ''}{group}/{owner.name}"
    age = since(revision.metadata.creationTimestamp, now)
    return [revision.metadata.name, whose, revision.revision, age]


def scale(scale: autoscaling_v1.Scale, now: float) -> Cells:
    """Name, replicas wanted, there, age."""
    age = since(scale.metadata.creationTimestamp, now)
    return [scale.metadata.name, scale.spec.replicas, scale.status.replicas, age]


def job(job: batch_v1.Job, now: float) -> Cells:
    """Name, status, completions, duration, age, containers, images, selector."""
    spec, status = job.spec, job.status
    if spec.completions is not None:
        done = f"{status.succeeded}/{spec.completions}"
    elif (spec.parallelism or 0) > 1:
        done = f"{status.succeeded}/1 of {spec.parallelism}"
    else:
        done = f"{status.succeeded}/1"
    duration = ""
    if status.startTime is not None:
        ended = status.completionTime
        duration = between(status.startTime, ended) if ended is not None else since(status.startTime, now)
    return [
        job.metadata.name,
        _job_status(job),
        done,
        duration,
        since(job.metadata.creationTimestamp, now),
        *_containers(spec.template),
        _selector(spec.selector),
    ]


def _job_status(job: batch_v1.Job) -> str:
    true = {condition.type for condition in job.status.conditions if condition.status == "True"}
    for ended in ("Complete", "Failed"):
        if ended in true:
            return ended
    if job.metadata.deletionTimestamp is not None:
        return "Terminating"
    return next((state for state in ("Suspended", "FailureTarget") if state in true), "Running")


def cronjob(cron_job: batch_v1.CronJob, now: float) -> Cells:
    """Name, schedule, zone, whether suspended, active Jobs, last run, age, containers, images, selector."""
    spec, status, template = cron_job.spec, cron_job.status, cron_job.spec.jobTemplate.spec
    return [
        cron_job.metadata.name,
        spec.schedule,
        spec.timeZone if spec.timeZone is not None else NONE,
        UNSET if spec.suspend is None else str(spec.suspend),
        len(status.active),
        since(status.lastScheduleTime, now) if status.lastScheduleTime else NONE,
        since(cron_job.metadata.creationTimestamp, now),
        *_containers(template.template),
        _selector(template.selector),
    ]


def poddisruptionbudget(budget: policy_v1.PodDisruptionBudget, now: float) -> Cells:
    """Name, the least available, the most unavailable, disruptions allowed, age."""
    spec = budget.spec
    return [
        budget.metadata.name,
        NOT_GIVEN if spec.minAvailable is None else str(spec.minAvailable),
        NOT_GIVEN if spec.maxUnavailable is None else str(spec.maxUnavailable),
        budget.status.disruptionsAllowed,
        since(budget.metadata.creationTimestamp, now),
    ]


def ingress(ingress: networking_v1.Ingress, now: float) -> Cells:
    """Name, class, hosts, addresses, ports, age."""
    spec = ingress.spec
    given = {one.ip or one.hostname for one in ingress.status.loadBalancer.ingress}
    return [
        ingress.metadata.name,
        spec.ingressClassName if spec.ingressClassName is not None else NONE,
        _hosts(spec.rules),
        ",".join(sorted(filter(None, given))),
        "80, 443" if spec.tls else "80",
        since(ingress.metadata.creationTimestamp, now),
    ]


def _hosts(rules: Sequence[networking_v1.IngressRule]) -> str:
    hosts = [rule.host for rule in rules if rule.host]
    if not hosts:
        return "*"
    shown = ",".join(hosts[:SHOWN])
    return f"{shown} + {len(rules) - SHOWN} more..." if len(hosts) > SHOWN else shown


def ingressclass(ingress_class: networking_v1.IngressClass, now: float) -> Cells:
    """Name, controller, parameters, age."""
    spec, shown = ingress_class.spec, NONE
    if spec.parameters is not None:
        of = spec.parameters
        shown = f"{of.kind}.{of.apiGroup}/{of.name}" if of.apiGroup is not None else f"{of.kind}/{of.name}"
    age = since(ingress_class.metadata.creationTimestamp, now)
    return [ingress_class.metadata.name, spec.controller, shown, age]


def priorityclass(priority_class: scheduling_v1.PriorityClass, now: float) -> Cells:
    """Name, value, whether it is the default, age, policy."""
    return [
        priority_class.metadata.name,
        priority_class.value,
        priority_class.globalDefault,
        since(priority_class.metadata.creationTimestamp, now),
        priority_class.preemptionPolicy or "",
    ]


def networkpolicy(policy: networking_v1.NetworkPolicy, now: float) -> Cells:
    """Name, which pods it is for, age."""
    age = since(policy.metadata.creationTimestamp, now)
    return [policy.metadata.name, _selector(policy.spec.podSelector), age]


def horizontalpodautoscaler(autoscaler: autoscaling_v2.HorizontalPodAutoscaler, now: float) -> Cells:
    """Name, what is scaled, metrics, fewest, most, replicas, age."""
    spec, target = autoscaler.spec, autoscaler.spec.scaleTargetRef
    shown = [_metric(metric) for metric in spec.metrics]
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return [
        autoscaler.metadata.name,
        f"{target.kind}/{target.name}",
        (", ".join(shown[:2]) + more) or NONE,
        str(spec.minReplicas) if spec.minReplicas is not None else UNSET,
        spec.maxReplicas,
        autoscaler.status.currentReplicas,
        since(autoscaler.metadata.creationTimestamp, now),
    ]


def webhooks(
    configuration: admissionregistration_v1.MutatingWebhookConfiguration
    | admissionregistration_v1.ValidatingWebhookConfiguration,
    now: float,
) -> Cells:
    """Name, number of webhooks, age."""
    meta = configuration.metadata
    return [meta.name, len(configuration.webhooks), since(meta.creationTimestamp, now)]


def _metric(metric: autoscaling_v2.MetricSpec) -> str:
    """What a metric should be; what it is, nobody here measures. Upstream: formatHPAMetrics."""
    resource = metric.resource or metric.containerResource
    if resource is not None:
        target, name = resource.target, f"{resource.name}: "
    else:
        source = metric.pods or metric.object or metric.external
        if source is None:
            return "<unknown type>"
        target, name = source.target, ""
    if target.averageValue is not None:
        return f"{name}<unknown>/{target.averageValue}" + (
            "" if resource is not None or metric.pods else " (avg)"
        )
    if resource is not None:
        utilization = target.averageUtilization
        return f"{name}<unknown>/" + (f"{utilization}%" if utilization is not None else "<auto>")
    return f"<unknown>/{target.value}"


def resourcequota(quota: core_v1.ResourceQuota, now: float) -> Cells:
    """Name, what is used of the requests and of the limits, age."""
    columns: dict[bool, list[str]] = {False: [], True: []}
    for name, hard in sorted(quota.status.hard.items()):
        columns["limits" in name].append(f"{name}: {quota.status.used.get(name, '0')}/{hard}")
    age = since(quota.metadata.creationTimestamp, now)
    return [quota.metadata.name, ", ".join(columns[False]), ", ".join(columns[True]), age]
