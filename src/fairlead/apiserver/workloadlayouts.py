"""The tables of workloads, and of what limits, scales and stores for them."""

from __future__ import annotations

from typing import Any

from fairlead.apiserver import volumerows, workloadrows
from fairlead.apiserver.tablecolumns import AGE, NAME, Layout, column
from fairlead.objects import (
    admissionregistration_v1,
    apps_v1,
    autoscaling_v1,
    autoscaling_v2,
    batch_v1,
    core_v1,
    horizontalpodautoscalers,
    networking_v1,
    policy_v1,
    scheduling_v1,
    storage_v1,
)

CONTAINERS = column("Containers", wide=True, about="Names of each container in the template.")
IMAGES = column("Images", wide=True, about="Images referenced by each container in the template.")
SELECTOR = column("Selector", wide=True, about="The labels of the pods that belong to it.")
PODS_OF = (CONTAINERS, IMAGES, SELECTOR)
REPLICAS = (
    NAME,
    column("Desired", "integer", about="How many replicas there should be."),
    column("Current", "integer", about="How many replicas there are."),
    column("Ready", "integer", about="How many of them are ready."),
    AGE,
    *PODS_OF,
)

WEBHOOK_COLUMNS = (NAME, column("Webhooks", "integer", about="How many there are."), AGE)

AUTOSCALER_COLUMNS = (
    NAME,
    column("Reference", about="What it scales."),
    column("Targets", about="What each metric is, and what it should be."),
    column("MinPods", about="The fewest replicas."),
    column("MaxPods", about="The most replicas."),
    column("Replicas", about="How many there are."),
    AGE,
)

LAYOUTS: dict[type[Any], Layout] = {
    core_v1.ReplicationController: (REPLICAS, workloadrows.replicationcontroller),
    apps_v1.ReplicaSet: (REPLICAS, workloadrows.replicaset),
    apps_v1.Deployment: (
        (
            NAME,
            column("Ready", about="Number of the pod with ready state"),
            column("Up-to-date", about="How many replicas are of the newest template."),
            column("Available", about="How many replicas are available."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.deployment,
    ),
    apps_v1.StatefulSet: (
        (NAME, column("Ready", about="Number of the pod with ready state"), AGE, CONTAINERS, IMAGES),
        workloadrows.statefulset,
    ),
    apps_v1.DaemonSet: (
        (
            NAME,
            column("Desired", "integer", about="How many nodes should run it."),
            column("Current", "integer", about="How many nodes run it."),
            column("Ready", "integer", about="On how many nodes it is ready."),
            column("Up-to-date", "integer", about="On how many nodes it is of the newest template."),
            column("Available", "integer", about="On how many nodes it is available."),
            column("Node Selector", about="The labels of the nodes that run it."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.daemonset,
    ),
    apps_v1.ControllerRevision: (
        (
            NAME,
            column("Controller", about="Controller of the object"),
            column("Revision", about="Its number."),
            AGE,
        ),
        workloadrows.controllerrevision,
    ),
    autoscaling_v1.Scale: (
        (
            NAME,
            column("Desired", "integer", about="How many replicas there should be."),
            column("Available", "integer", about="How many replicas there are."),
            AGE,
        ),
        workloadrows.scale,
    ),
    batch_v1.Job: (
        (
            NAME,
            column("Status", about="Status of the job."),
            column("Completions", about="How many pods have succeeded, of how many."),
            column("Duration", about="Time required to complete the job."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.job,
    ),
    batch_v1.CronJob: (
        (
            NAME,
            column("Schedule", about="When it runs, in the form of cron."),
            column("Timezone", about="The time zone of the schedule."),
            column("Suspend", "boolean", about="Whether further runs are held back."),
            column("Active", "integer", about="How many Jobs are running."),
            column("Last Schedule", about="When it ran last."),
            AGE,
            *PODS_OF,
        ),
        workloadrows.cronjob,
    ),
    policy_v1.PodDisruptionBudget: (
        (
            NAME,
            column("Min Available", about="The minimum number of pods that must be available."),
            column("Max Unavailable", about="The maximum number of pods that may be unavailable."),
            column("Allowed Disruptions", "integer", about="How many pods may be disrupted at this time."),
            AGE,
        ),
        workloadrows.poddisruptionbudget,
    ),
    scheduling_v1.PriorityClass: (
        (
            NAME,
            column("Value", "integer", about="The priority of pods of this class."),
            column("Global-Default", "boolean", about="Whether it is the class of pods that name none."),
            AGE,
            column("PreemptionPolicy", about="Whether its pods have others of lower priority removed."),
        ),
        workloadrows.priorityclass,
    ),
    networking_v1.Ingress: (
        (
            NAME,
            column("Class", about="The name of its IngressClass."),
            column("Hosts", about="Hosts that incoming requests are matched against before the ingress rule"),
            column("Address", about="Where it can be reached."),
            column("Ports", about="Ports of TLS configurations that open"),
            AGE,
        ),
        workloadrows.ingress,
    ),
    networking_v1.IngressClass: (
        (
            NAME,
            column("Controller", about="Controller that is responsible for handling this class"),
            column("Parameters", about="A reference to a resource with additional parameters"),
            AGE,
        ),
        workloadrows.ingressclass,
    ),
    networking_v1.NetworkPolicy: (
        (NAME, column("Pod-Selector", about="The labels of the pods that it is for."), AGE),
        workloadrows.networkpolicy,
    ),
    core_v1.PersistentVolume: (
        (
            NAME,
            column("Capacity", about="Its size."),
            column("Access Modes", about="How it can be mounted."),
            column("Reclaim Policy", about="What becomes of it when its claim goes."),
            column("Status", about="Whether a claim has it."),
            column("Claim", about="The claim that has it."),
            column("StorageClass", about="The class of claims that may have it."),
            column("VolumeAttributesClass", about="The class of its attributes."),
            column("Reason", about="Why it is in this state, in short."),
            AGE,
            column("VolumeMode", wide=True, about="Whether it is a file system or a device."),
        ),
        volumerows.persistentvolume,
    ),
    admissionregistration_v1.MutatingWebhookConfiguration: (WEBHOOK_COLUMNS, workloadrows.webhooks),
    admissionregistration_v1.ValidatingWebhookConfiguration: (WEBHOOK_COLUMNS, workloadrows.webhooks),
    storage_v1.StorageClass: (
        (
            NAME,
            column("Provisioner", about="Who makes volumes of this class."),
            column("ReclaimPolicy", about="What becomes of a volume when its claim goes."),
            column("VolumeBindingMode", about="When a claim gets its volume."),
            column("AllowVolumeExpansion", about="Whether claims may grow."),
            AGE,
        ),
        volumerows.storageclass,
    ),
    autoscaling_v2.HorizontalPodAutoscaler: (AUTOSCALER_COLUMNS, workloadrows.horizontalpodautoscaler),
    autoscaling_v1.HorizontalPodAutoscaler: (
        AUTOSCALER_COLUMNS,
        lambda one, now: workloadrows.horizontalpodautoscaler(horizontalpodautoscalers.write(one), now),
    ),
    core_v1.PersistentVolumeClaim: (
        (
            NAME,
            column("Status", about="Whether it has a volume."),
            column("Volume", about="The volume that it has."),
            column("Capacity", about="The size of the volume."),
            column("Access Modes", about="How the volume can be mounted."),
            column("StorageClass", about="StorageClass of the pvc"),
            column("VolumeAttributesClass", about="VolumeAttributesClass of the pvc"),
            AGE,
            column("VolumeMode", wide=True, about="Whether it is a file system or a device."),
        ),
        volumerows.persistentvolumeclaim,
    ),
    core_v1.ResourceQuota: (
        (
            NAME,
            column("Request", about="What is used of what may be requested."),
            column("Limit", about="What is used of the limits."),
            AGE,
        ),
        workloadrows.resourcequota,
    ),
}
