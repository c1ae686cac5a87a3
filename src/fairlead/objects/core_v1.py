"""The types of api.core.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import Condition, LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import IntOrString, MicroTime, Object, Quantity, Time, empty, no, text, zero


class AWSElasticBlockStoreVolumeSource(Object, frozen=True, kw_only=True):
    volumeID: str = field(default_factory=text)
    fsType: str = ""
    partition: int = 0
    readOnly: bool = False


class Affinity(Object, frozen=True, kw_only=True):
    nodeAffinity: NodeAffinity | None = None
    podAffinity: PodAffinity | None = None
    podAntiAffinity: PodAntiAffinity | None = None


class AppArmorProfile(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    localhostProfile: str | None = None


class AttachedVolume(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    devicePath: str = field(default_factory=text)


class AzureDiskVolumeSource(Object, frozen=True, kw_only=True):
    diskName: str = field(default_factory=text)
    diskURI: str = field(default_factory=text)
    cachingMode: str | None = None
    fsType: str | None = None
    readOnly: bool | None = None
    kind: str | None = None


class AzureFilePersistentVolumeSource(Object, frozen=True, kw_only=True):
    secretName: str = field(default_factory=text)
    shareName: str = field(default_factory=text)
    readOnly: bool = False
    secretNamespace: str | None = None


class AzureFileVolumeSource(Object, frozen=True, kw_only=True):
    secretName: str = field(default_factory=text)
    shareName: str = field(default_factory=text)
    readOnly: bool = False


class Binding(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Binding")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    target: ObjectReference = field(default_factory=lambda: ObjectReference())


class CSIPersistentVolumeSource(Object, frozen=True, kw_only=True):
    driver: str = field(default_factory=text)
    volumeHandle: str = field(default_factory=text)
    readOnly: bool = False
    fsType: str = ""
    volumeAttributes: dict[str, str] = {}
    controllerPublishSecretRef: SecretReference | None = None
    nodeStageSecretRef: SecretReference | None = None
    nodePublishSecretRef: SecretReference | None = None
    controllerExpandSecretRef: SecretReference | None = None
    nodeExpandSecretRef: SecretReference | None = None


class CSIVolumeSource(Object, frozen=True, kw_only=True):
    driver: str = field(default_factory=text)
    readOnly: bool | None = None
    fsType: str | None = None
    volumeAttributes: dict[str, str] = {}
    nodePublishSecretRef: LocalObjectReference | None = None


class Capabilities(Object, frozen=True, kw_only=True):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class CephFSPersistentVolumeSource(Object, frozen=True, kw_only=True):
    monitors: tuple[str, ...] = field(default_factory=empty)
    path: str = ""
    user: str = ""
    secretFile: str = ""
    secretRef: SecretReference | None = None
    readOnly: bool = False


class CephFSVolumeSource(Object, frozen=True, kw_only=True):
    monitors: tuple[str, ...] = field(default_factory=empty)
    path: str = ""
    user: str = ""
    secretFile: str = ""
    secretRef: LocalObjectReference | None = None
    readOnly: bool = False


class CinderPersistentVolumeSource(Object, frozen=True, kw_only=True):
    volumeID: str = field(default_factory=text)
    fsType: str = ""
    readOnly: bool = False
    secretRef: SecretReference | None = None


class CinderVolumeSource(Object, frozen=True, kw_only=True):
    volumeID: str = field(default_factory=text)
    fsType: str = ""
    readOnly: bool = False
    secretRef: LocalObjectReference | None = None


class ClientIPConfig(Object, frozen=True, kw_only=True):
    timeoutSeconds: int | None = None


class ClusterTrustBundleProjection(Object, frozen=True, kw_only=True):
    name: str | None = None
    signerName: str | None = None
    labelSelector: LabelSelector | None = None
    optional: bool | None = None
    path: str = field(default_factory=text)


class ConfigMap(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ConfigMap")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    immutable: bool | None = None
    data: dict[str, str] = {}
    binaryData: dict[str, bytes] = {}


class ConfigMapEnvSource(Object, frozen=True, kw_only=True):
    name: str = ""
    optional: bool | None = None


class ConfigMapKeySelector(Object, frozen=True, kw_only=True):
    name: str = ""
    key: str = field(default_factory=text)
    optional: bool | None = None


class ConfigMapList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ConfigMapList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ConfigMap, ...] = field(default_factory=empty)


class ConfigMapNodeConfigSource(Object, frozen=True, kw_only=True):
    namespace: str = field(default_factory=text)
    name: str = field(default_factory=text)
    uid: str = ""
    resourceVersion: str = ""
    kubeletConfigKey: str = field(default_factory=text)


class ConfigMapProjection(Object, frozen=True, kw_only=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class ConfigMapVolumeSource(Object, frozen=True, kw_only=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    defaultMode: int | None = None
    optional: bool | None = None


class Container(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    workingDir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    envFrom: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements = field(default_factory=lambda: ResourceRequirements())
    resizePolicy: tuple[ContainerResizePolicy, ...] = ()
    restartPolicy: str | None = None
    restartPolicyRules: tuple[ContainerRestartRule, ...] = ()
    volumeMounts: tuple[VolumeMount, ...] = ()
    volumeDevices: tuple[VolumeDevice, ...] = ()
    livenessProbe: Probe | None = None
    readinessProbe: Probe | None = None
    startupProbe: Probe | None = None
    lifecycle: Lifecycle | None = None
    terminationMessagePath: str = ""
    terminationMessagePolicy: str = ""
    imagePullPolicy: str = ""
    securityContext: SecurityContext | None = None
    stdin: bool = False
    stdinOnce: bool = False
    tty: bool = False


class ContainerExtendedResourceRequest(Object, frozen=True, kw_only=True):
    containerName: str = field(default_factory=text)
    resourceName: str = field(default_factory=text)
    requestName: str = field(default_factory=text)


class ContainerImage(Object, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    sizeBytes: int = 0


class ContainerPort(Object, frozen=True, kw_only=True):
    name: str = ""
    hostPort: int = 0
    containerPort: int = field(default_factory=zero)
    protocol: str = ""
    hostIP: str = ""


class ContainerResizePolicy(Object, frozen=True, kw_only=True):
    resourceName: str = field(default_factory=text)
    restartPolicy: str = field(default_factory=text)


class ContainerRestartRule(Object, frozen=True, kw_only=True):
    action: str = field(default_factory=text)
    exitCodes: ContainerRestartRuleOnExitCodes | None = None


class ContainerRestartRuleOnExitCodes(Object, frozen=True, kw_only=True):
    operator: str = field(default_factory=text)
    values: tuple[int, ...] = ()


class ContainerState(Object, frozen=True, kw_only=True):
    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStateRunning(Object, frozen=True, kw_only=True):
    startedAt: Time | None = None


class ContainerStateTerminated(Object, frozen=True, kw_only=True):
    exitCode: int = field(default_factory=zero)
    signal: int = 0
    reason: str = ""
    message: str = ""
    startedAt: Time | None = None
    finishedAt: Time | None = None
    containerID: str = ""


class ContainerStateWaiting(Object, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class ContainerStatus(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    state: ContainerState = field(default_factory=lambda: ContainerState())
    lastState: ContainerState = field(default_factory=lambda: ContainerState())
    ready: bool = field(default_factory=no)
    restartCount: int = field(default_factory=zero)
    image: str = field(default_factory=text)
    imageID: str = field(default_factory=text)
    containerID: str = ""
    started: bool | None = None
    allocatedResources: dict[str, Quantity] = {}
    resources: ResourceRequirements | None = None
    volumeMounts: tuple[VolumeMountStatus, ...] = ()
    user: ContainerUser | None = None
    allocatedResourcesStatus: tuple[ResourceStatus, ...] = ()
    stopSignal: str | None = None


class ContainerUser(Object, frozen=True, kw_only=True):
    linux: LinuxContainerUser | None = None


class DaemonEndpoint(Object, frozen=True, kw_only=True):
    Port: int = field(default_factory=zero)


class DownwardAPIProjection(Object, frozen=True, kw_only=True):
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class DownwardAPIVolumeFile(Object, frozen=True, kw_only=True):
    path: str = field(default_factory=text)
    fieldRef: ObjectFieldSelector | None = None
    resourceFieldRef: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIVolumeSource(Object, frozen=True, kw_only=True):
    items: tuple[DownwardAPIVolumeFile, ...] = ()
    defaultMode: int | None = None


class EmptyDirVolumeSource(Object, frozen=True, kw_only=True):
    medium: str = ""
    sizeLimit: Quantity | None = None


class EndpointAddress(Object, frozen=True, kw_only=True):
    ip: str = field(default_factory=text)
    hostname: str = ""
    nodeName: str | None = None
    targetRef: ObjectReference | None = None


class EndpointPort(Object, frozen=True, kw_only=True):
    name: str = ""
    port: int = field(default_factory=zero)
    protocol: str = ""
    appProtocol: str | None = None


class EndpointSubset(Object, frozen=True, kw_only=True):
    addresses: tuple[EndpointAddress, ...] = ()
    notReadyAddresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Endpoints")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    subsets: tuple[EndpointSubset, ...] = ()


class EndpointsList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "EndpointsList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Endpoints, ...] = field(default_factory=empty)


class EnvFromSource(Object, frozen=True, kw_only=True):
    prefix: str = ""
    configMapRef: ConfigMapEnvSource | None = None
    secretRef: SecretEnvSource | None = None


class EnvVar(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    value: str = ""
    valueFrom: EnvVarSource | None = None


class EnvVarSource(Object, frozen=True, kw_only=True):
    fieldRef: ObjectFieldSelector | None = None
    resourceFieldRef: ResourceFieldSelector | None = None
    configMapKeyRef: ConfigMapKeySelector | None = None
    secretKeyRef: SecretKeySelector | None = None
    fileKeyRef: FileKeySelector | None = None


class EphemeralContainer(Object, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    workingDir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    envFrom: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements = field(default_factory=lambda: ResourceRequirements())
    resizePolicy: tuple[ContainerResizePolicy, ...] = ()
    restartPolicy: str | None = None
    restartPolicyRules: tuple[ContainerRestartRule, ...] = ()
    volumeMounts: tuple[VolumeMount, ...] = ()
    volumeDevices: tuple[VolumeDevice, ...] = ()
    livenessProbe: Probe | None = None
    readinessProbe: Probe | None = None
    startupProbe: Probe | None = None
    lifecycle: Lifecycle | None = None
    terminationMessagePath: str = ""
    terminationMessagePolicy: str = ""
    imagePullPolicy: str = ""
    securityContext: SecurityContext | None = None
    stdin: bool = False
    stdinOnce: bool = False
    tty: bool = False
    targetContainerName: str = ""


class EphemeralContainerCommon(Object, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    workingDir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    envFrom: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements | None = None
    resizePolicy: tuple[ContainerResizePolicy, ...] = ()
    restartPolicy: str | None = None
    restartPolicyRules: tuple[ContainerRestartRule, ...] = ()
    volumeMounts: tuple[VolumeMount, ...] = ()
    volumeDevices: tuple[VolumeDevice, ...] = ()
    livenessProbe: Probe | None = None
    readinessProbe: Probe | None = None
    startupProbe: Probe | None = None
    lifecycle: Lifecycle | None = None
    terminationMessagePath: str = ""
    terminationMessagePolicy: str = ""
    imagePullPolicy: str = ""
    securityContext: SecurityContext | None = None
    stdin: bool = False
    stdinOnce: bool = False
    tty: bool = False


class EphemeralVolumeSource(Object, frozen=True, kw_only=True):
    volumeClaimTemplate: PersistentVolumeClaimTemplate | None = None


class Event(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Event")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    involvedObject: ObjectReference = field(default_factory=lambda: ObjectReference())
    reason: str = ""
    message: str = ""
    source: EventSource = field(default_factory=lambda: EventSource())
    firstTimestamp: Time | None = None
    lastTimestamp: Time | None = None
    count: int = 0
    type: str = ""
    eventTime: MicroTime | None = None
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reportingComponent: str = field(default_factory=text)
    reportingInstance: str = field(default_factory=text)


class EventList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "EventList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Event, ...] = field(default_factory=empty)


class EventSeries(Object, frozen=True, kw_only=True):
    count: int = 0
    lastObservedTime: MicroTime | None = None


class EventSource(Object, frozen=True, kw_only=True):
    component: str = ""
    host: str = ""


class ExecAction(Object, frozen=True, kw_only=True):
    command: tuple[str, ...] = ()


class FCVolumeSource(Object, frozen=True, kw_only=True):
    targetWWNs: tuple[str, ...] = ()
    lun: int | None = None
    fsType: str = ""
    readOnly: bool = False
    wwids: tuple[str, ...] = ()


class FileKeySelector(Object, frozen=True, kw_only=True):
    volumeName: str = field(default_factory=text)
    path: str = field(default_factory=text)
    key: str = field(default_factory=text)
    optional: bool | None = None


class FlexPersistentVolumeSource(Object, frozen=True, kw_only=True):
    driver: str = field(default_factory=text)
    fsType: str = ""
    secretRef: SecretReference | None = None
    readOnly: bool = False
    options: dict[str, str] = {}


class FlexVolumeSource(Object, frozen=True, kw_only=True):
    driver: str = field(default_factory=text)
    fsType: str = ""
    secretRef: LocalObjectReference | None = None
    readOnly: bool = False
    options: dict[str, str] = {}


class FlockerVolumeSource(Object, frozen=True, kw_only=True):
    datasetName: str = ""
    datasetUUID: str = ""


class GCEPersistentDiskVolumeSource(Object, frozen=True, kw_only=True):
    pdName: str = field(default_factory=text)
    fsType: str = ""
    partition: int = 0
    readOnly: bool = False


class GRPCAction(Object, frozen=True, kw_only=True):
    port: int = field(default_factory=zero)
    service: str | None = None


class GitRepoVolumeSource(Object, frozen=True, kw_only=True):
    repository: str = field(default_factory=text)
    revision: str = ""
    directory: str = ""


class GlusterfsPersistentVolumeSource(Object, frozen=True, kw_only=True):
    endpoints: str = field(default_factory=text)
    path: str = field(default_factory=text)
    readOnly: bool = False
    endpointsNamespace: str | None = None


class GlusterfsVolumeSource(Object, frozen=True, kw_only=True):
    endpoints: str = field(default_factory=text)
    path: str = field(default_factory=text)
    readOnly: bool = False


class HTTPGetAction(Object, frozen=True, kw_only=True):
    path: str = ""
    port: IntOrString | None = None
    host: str = ""
    scheme: str = ""
    httpHeaders: tuple[HTTPHeader, ...] = ()


class HTTPHeader(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    value: str = field(default_factory=text)


class HostAlias(Object, frozen=True, kw_only=True):
    ip: str = field(default_factory=text)
    hostnames: tuple[str, ...] = ()


class HostIP(Object, frozen=True, kw_only=True):
    ip: str = field(default_factory=text)


class HostPathVolumeSource(Object, frozen=True, kw_only=True):
    path: str = field(default_factory=text)
    type: str | None = None


class ISCSIPersistentVolumeSource(Object, frozen=True, kw_only=True):
    targetPortal: str = field(default_factory=text)
    iqn: str = field(default_factory=text)
    lun: int = field(default_factory=zero)
    iscsiInterface: str = ""
    fsType: str = ""
    readOnly: bool = False
    portals: tuple[str, ...] = ()
    chapAuthDiscovery: bool = False
    chapAuthSession: bool = False
    secretRef: SecretReference | None = None
    initiatorName: str | None = None


class ISCSIVolumeSource(Object, frozen=True, kw_only=True):
    targetPortal: str = field(default_factory=text)
    iqn: str = field(default_factory=text)
    lun: int = field(default_factory=zero)
    iscsiInterface: str = ""
    fsType: str = ""
    readOnly: bool = False
    portals: tuple[str, ...] = ()
    chapAuthDiscovery: bool = False
    chapAuthSession: bool = False
    secretRef: LocalObjectReference | None = None
    initiatorName: str | None = None


class ImageVolumeSource(Object, frozen=True, kw_only=True):
    reference: str = ""
    pullPolicy: str = ""


class ImageVolumeStatus(Object, frozen=True, kw_only=True):
    imageRef: str = field(default_factory=text)


class KeyToPath(Object, frozen=True, kw_only=True):
    key: str = field(default_factory=text)
    path: str = field(default_factory=text)
    mode: int | None = None


class Lifecycle(Object, frozen=True, kw_only=True):
    postStart: LifecycleHandler | None = None
    preStop: LifecycleHandler | None = None
    stopSignal: str | None = None


class LifecycleHandler(Object, frozen=True, kw_only=True):
    exec: ExecAction | None = None
    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class LimitRange(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "LimitRange")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: LimitRangeSpec = field(default_factory=lambda: LimitRangeSpec())


class LimitRangeItem(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    max: dict[str, Quantity] = {}
    min: dict[str, Quantity] = {}
    default: dict[str, Quantity] = {}
    defaultRequest: dict[str, Quantity] = {}
    maxLimitRequestRatio: dict[str, Quantity] = {}


class LimitRangeList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "LimitRangeList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[LimitRange, ...] = field(default_factory=empty)


class LimitRangeSpec(Object, frozen=True, kw_only=True):
    limits: tuple[LimitRangeItem, ...] = field(default_factory=empty)


class LinuxContainerUser(Object, frozen=True, kw_only=True):
    uid: int = field(default_factory=zero)
    gid: int = field(default_factory=zero)
    supplementalGroups: tuple[int, ...] = ()


class LoadBalancerIngress(Object, frozen=True, kw_only=True):
    ip: str = ""
    hostname: str = ""
    ipMode: str | None = None
    ports: tuple[PortStatus, ...] = ()


class LoadBalancerStatus(Object, frozen=True, kw_only=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class LocalObjectReference(Object, frozen=True, kw_only=True):
    name: str = ""


class LocalVolumeSource(Object, frozen=True, kw_only=True):
    path: str = field(default_factory=text)
    fsType: str | None = None


class ModifyVolumeStatus(Object, frozen=True, kw_only=True):
    targetVolumeAttributesClassName: str = ""
    status: str = field(default_factory=text)


class NFSVolumeSource(Object, frozen=True, kw_only=True):
    server: str = field(default_factory=text)
    path: str = field(default_factory=text)
    readOnly: bool = False


class Namespace(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Namespace")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: NamespaceSpec = field(default_factory=lambda: NamespaceSpec())
    status: NamespaceStatus = field(default_factory=lambda: NamespaceStatus())


class NamespaceCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class NamespaceList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "NamespaceList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Namespace, ...] = field(default_factory=empty)


class NamespaceSpec(Object, frozen=True, kw_only=True):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Object, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[NamespaceCondition, ...] = ()


class Node(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Node")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: NodeSpec = field(default_factory=lambda: NodeSpec())
    status: NodeStatus = field(default_factory=lambda: NodeStatus())


class NodeAddress(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    address: str = field(default_factory=text)


class NodeAffinity(Object, frozen=True, kw_only=True):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None
    preferredDuringSchedulingIgnoredDuringExecution: tuple[PreferredSchedulingTerm, ...] = ()


class NodeAllocatableResourceClaimStatus(Object, frozen=True, kw_only=True):
    resourceClaimName: str = field(default_factory=text)
    containers: tuple[str, ...] = ()
    resources: dict[str, Quantity] = {}


class NodeCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastHeartbeatTime: Time | None = None
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class NodeConfigSource(Object, frozen=True, kw_only=True):
    configMap: ConfigMapNodeConfigSource | None = None


class NodeConfigStatus(Object, frozen=True, kw_only=True):
    assigned: NodeConfigSource | None = None
    active: NodeConfigSource | None = None
    lastKnownGood: NodeConfigSource | None = None
    error: str = ""


class NodeDaemonEndpoints(Object, frozen=True, kw_only=True):
    kubeletEndpoint: DaemonEndpoint = field(default_factory=lambda: DaemonEndpoint())


class NodeFeatures(Object, frozen=True, kw_only=True):
    supplementalGroupsPolicy: bool | None = None


class NodeList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "NodeList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Node, ...] = field(default_factory=empty)


class NodeRuntimeHandler(Object, frozen=True, kw_only=True):
    name: str = ""
    features: NodeRuntimeHandlerFeatures | None = None


class NodeRuntimeHandlerFeatures(Object, frozen=True, kw_only=True):
    recursiveReadOnlyMounts: bool | None = None
    userNamespaces: bool | None = None


class NodeSelector(Object, frozen=True, kw_only=True):
    nodeSelectorTerms: tuple[NodeSelectorTerm, ...] = field(default_factory=empty)


class NodeSelectorRequirement(Object, frozen=True, kw_only=True):
    key: str = field(default_factory=text)
    operator: str = field(default_factory=text)
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Object, frozen=True, kw_only=True):
    matchExpressions: tuple[NodeSelectorRequirement, ...] = ()
    matchFields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSpec(Object, frozen=True, kw_only=True):
    podCIDR: str = ""
    podCIDRs: tuple[str, ...] = ()
    providerID: str = ""
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    configSource: NodeConfigSource | None = None
    externalID: str = ""


class NodeStatus(Object, frozen=True, kw_only=True):
    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    phase: str = ""
    conditions: tuple[NodeCondition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    daemonEndpoints: NodeDaemonEndpoints = field(default_factory=lambda: NodeDaemonEndpoints())
    nodeInfo: NodeSystemInfo = field(default_factory=lambda: NodeSystemInfo())
    images: tuple[ContainerImage, ...] = ()
    volumesInUse: tuple[str, ...] = ()
    volumesAttached: tuple[AttachedVolume, ...] = ()
    config: NodeConfigStatus | None = None
    runtimeHandlers: tuple[NodeRuntimeHandler, ...] = ()
    features: NodeFeatures | None = None
    declaredFeatures: tuple[str, ...] = ()


class NodeSwapStatus(Object, frozen=True, kw_only=True):
    capacity: int = 0


class NodeSystemInfo(Object, frozen=True, kw_only=True):
    machineID: str = field(default_factory=text)
    systemUUID: str = field(default_factory=text)
    bootID: str = field(default_factory=text)
    kernelVersion: str = field(default_factory=text)
    osImage: str = field(default_factory=text)
    containerRuntimeVersion: str = field(default_factory=text)
    kubeletVersion: str = field(default_factory=text)
    kubeProxyVersion: str = field(default_factory=text)
    operatingSystem: str = field(default_factory=text)
    architecture: str = field(default_factory=text)
    swap: NodeSwapStatus | None = None


class ObjectFieldSelector(Object, frozen=True, kw_only=True):
    apiVersion: str = ""
    fieldPath: str = field(default_factory=text)


class ObjectReference(Object, frozen=True, kw_only=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    apiVersion: str = ""
    resourceVersion: str = ""
    fieldPath: str = ""


class PersistentVolume(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PersistentVolume")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: PersistentVolumeSpec = field(default_factory=lambda: PersistentVolumeSpec())
    status: PersistentVolumeStatus = field(default_factory=lambda: PersistentVolumeStatus())


class PersistentVolumeClaim(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PersistentVolumeClaim")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: PersistentVolumeClaimSpec = field(default_factory=lambda: PersistentVolumeClaimSpec())
    status: PersistentVolumeClaimStatus = field(default_factory=lambda: PersistentVolumeClaimStatus())


class PersistentVolumeClaimCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastProbeTime: Time | None = None
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class PersistentVolumeClaimList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PersistentVolumeClaimList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[PersistentVolumeClaim, ...] = field(default_factory=empty)


class PersistentVolumeClaimSpec(Object, frozen=True, kw_only=True):
    accessModes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: VolumeResourceRequirements = field(default_factory=lambda: VolumeResourceRequirements())
    volumeName: str = ""
    storageClassName: str | None = None
    volumeMode: str | None = None
    dataSource: TypedLocalObjectReference | None = None
    dataSourceRef: TypedObjectReference | None = None
    volumeAttributesClassName: str | None = None


class PersistentVolumeClaimStatus(Object, frozen=True, kw_only=True):
    phase: str = ""
    accessModes: tuple[str, ...] = ()
    capacity: dict[str, Quantity] = {}
    conditions: tuple[PersistentVolumeClaimCondition, ...] = ()
    allocatedResources: dict[str, Quantity] = {}
    allocatedResourceStatuses: dict[str, str] = {}
    currentVolumeAttributesClassName: str | None = None
    modifyVolumeStatus: ModifyVolumeStatus | None = None


class PersistentVolumeClaimTemplate(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta | None = None
    spec: PersistentVolumeClaimSpec = field(default_factory=lambda: PersistentVolumeClaimSpec())


class PersistentVolumeClaimVolumeSource(Object, frozen=True, kw_only=True):
    claimName: str = field(default_factory=text)
    readOnly: bool = False


class PersistentVolumeList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PersistentVolumeList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[PersistentVolume, ...] = field(default_factory=empty)


class PersistentVolumeSource(Object, frozen=True, kw_only=True):
    gcePersistentDisk: GCEPersistentDiskVolumeSource | None = None
    awsElasticBlockStore: AWSElasticBlockStoreVolumeSource | None = None
    hostPath: HostPathVolumeSource | None = None
    glusterfs: GlusterfsPersistentVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    rbd: RBDPersistentVolumeSource | None = None
    iscsi: ISCSIPersistentVolumeSource | None = None
    cinder: CinderPersistentVolumeSource | None = None
    cephfs: CephFSPersistentVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    flexVolume: FlexPersistentVolumeSource | None = None
    azureFile: AzureFilePersistentVolumeSource | None = None
    vsphereVolume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azureDisk: AzureDiskVolumeSource | None = None
    photonPersistentDisk: PhotonPersistentDiskVolumeSource | None = None
    portworxVolume: PortworxVolumeSource | None = None
    scaleIO: ScaleIOPersistentVolumeSource | None = None
    local: LocalVolumeSource | None = None
    storageos: StorageOSPersistentVolumeSource | None = None
    csi: CSIPersistentVolumeSource | None = None


class PersistentVolumeSpec(Object, frozen=True, kw_only=True):
    capacity: dict[str, Quantity] = {}
    gcePersistentDisk: GCEPersistentDiskVolumeSource | None = None
    awsElasticBlockStore: AWSElasticBlockStoreVolumeSource | None = None
    hostPath: HostPathVolumeSource | None = None
    glusterfs: GlusterfsPersistentVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    rbd: RBDPersistentVolumeSource | None = None
    iscsi: ISCSIPersistentVolumeSource | None = None
    cinder: CinderPersistentVolumeSource | None = None
    cephfs: CephFSPersistentVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    flexVolume: FlexPersistentVolumeSource | None = None
    azureFile: AzureFilePersistentVolumeSource | None = None
    vsphereVolume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azureDisk: AzureDiskVolumeSource | None = None
    photonPersistentDisk: PhotonPersistentDiskVolumeSource | None = None
    portworxVolume: PortworxVolumeSource | None = None
    scaleIO: ScaleIOPersistentVolumeSource | None = None
    local: LocalVolumeSource | None = None
    storageos: StorageOSPersistentVolumeSource | None = None
    csi: CSIPersistentVolumeSource | None = None
    accessModes: tuple[str, ...] = ()
    claimRef: ObjectReference | None = None
    persistentVolumeReclaimPolicy: str = ""
    storageClassName: str = ""
    mountOptions: tuple[str, ...] = ()
    volumeMode: str = ""
    nodeAffinity: VolumeNodeAffinity | None = None
    volumeAttributesClassName: str | None = None


class PersistentVolumeStatus(Object, frozen=True, kw_only=True):
    phase: str = ""
    message: str = ""
    reason: str = ""
    lastPhaseTransitionTime: Time | None = None


class PhotonPersistentDiskVolumeSource(Object, frozen=True, kw_only=True):
    pdID: str = field(default_factory=text)
    fsType: str = ""


class Pod(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Pod")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: PodSpec = field(default_factory=lambda: PodSpec())
    status: PodStatus = field(default_factory=lambda: PodStatus())


class PodAffinity(Object, frozen=True, kw_only=True):
    requiredDuringSchedulingIgnoredDuringExecution: tuple[PodAffinityTerm, ...] = ()
    preferredDuringSchedulingIgnoredDuringExecution: tuple[WeightedPodAffinityTerm, ...] = ()


class PodAffinityTerm(Object, frozen=True, kw_only=True):
    labelSelector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topologyKey: str = field(default_factory=text)
    namespaceSelector: LabelSelector | None = None
    matchLabelKeys: tuple[str, ...] = ()
    mismatchLabelKeys: tuple[str, ...] = ()


class PodAntiAffinity(Object, frozen=True, kw_only=True):
    requiredDuringSchedulingIgnoredDuringExecution: tuple[PodAffinityTerm, ...] = ()
    preferredDuringSchedulingIgnoredDuringExecution: tuple[WeightedPodAffinityTerm, ...] = ()


class PodCertificateProjection(Object, frozen=True, kw_only=True):
    signerName: str = field(default_factory=text)
    keyType: str = field(default_factory=text)
    maxExpirationSeconds: int = 0
    credentialBundlePath: str = ""
    keyPath: str = ""
    certificateChainPath: str = ""
    userAnnotations: dict[str, str] = {}


class PodCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    observedGeneration: int = 0
    status: str = field(default_factory=text)
    lastProbeTime: Time | None = None
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class PodDNSConfig(Object, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()


class PodDNSConfigOption(Object, frozen=True, kw_only=True):
    name: str = ""
    value: str | None = None


class PodExtendedResourceClaimStatus(Object, frozen=True, kw_only=True):
    requestMappings: tuple[ContainerExtendedResourceRequest, ...] = field(default_factory=empty)
    resourceClaimName: str = field(default_factory=text)


class PodIP(Object, frozen=True, kw_only=True):
    ip: str = field(default_factory=text)


class PodList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "PodList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Pod, ...] = field(default_factory=empty)


class PodOS(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)


class PodReadinessGate(Object, frozen=True, kw_only=True):
    conditionType: str = field(default_factory=text)


class PodResourceClaim(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    resourceClaimName: str | None = None
    resourceClaimTemplateName: str | None = None


class PodResourceClaimStatus(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    resourceClaimName: str | None = None


class PodSchedulingGate(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)


class PodSchedulingGroup(Object, frozen=True, kw_only=True):
    podGroupName: str = ""


class PodSecurityContext(Object, frozen=True, kw_only=True):
    seLinuxOptions: SELinuxOptions | None = None
    windowsOptions: WindowsSecurityContextOptions | None = None
    runAsUser: int | None = None
    runAsGroup: int | None = None
    runAsNonRoot: bool | None = None
    supplementalGroups: tuple[int, ...] = ()
    supplementalGroupsPolicy: str | None = None
    fsGroup: int | None = None
    sysctls: tuple[Sysctl, ...] = ()
    fsGroupChangePolicy: str | None = None
    seccompProfile: SeccompProfile | None = None
    appArmorProfile: AppArmorProfile | None = None
    seLinuxChangePolicy: str | None = None


class PodSpec(Object, frozen=True, kw_only=True):
    volumes: tuple[Volume, ...] = ()
    initContainers: tuple[Container, ...] = ()
    containers: tuple[Container, ...] = field(default_factory=empty)
    ephemeralContainers: tuple[EphemeralContainer, ...] = ()
    restartPolicy: str = ""
    terminationGracePeriodSeconds: int | None = None
    activeDeadlineSeconds: int | None = None
    dnsPolicy: str = ""
    nodeSelector: dict[str, str] = {}
    serviceAccountName: str = ""
    serviceAccount: str = ""
    automountServiceAccountToken: bool | None = None
    nodeName: str = ""
    hostNetwork: bool = False
    hostPID: bool = False
    hostIPC: bool = False
    shareProcessNamespace: bool | None = None
    securityContext: PodSecurityContext | None = None
    imagePullSecrets: tuple[LocalObjectReference, ...] = ()
    hostname: str = ""
    subdomain: str = ""
    affinity: Affinity | None = None
    schedulerName: str = ""
    tolerations: tuple[Toleration, ...] = ()
    hostAliases: tuple[HostAlias, ...] = ()
    priorityClassName: str = ""
    priority: int | None = None
    dnsConfig: PodDNSConfig | None = None
    readinessGates: tuple[PodReadinessGate, ...] = ()
    runtimeClassName: str | None = None
    enableServiceLinks: bool | None = None
    preemptionPolicy: str | None = None
    overhead: dict[str, Quantity] = {}
    topologySpreadConstraints: tuple[TopologySpreadConstraint, ...] = ()
    setHostnameAsFQDN: bool | None = None
    os: PodOS | None = None
    hostUsers: bool | None = None
    schedulingGates: tuple[PodSchedulingGate, ...] = ()
    resourceClaims: tuple[PodResourceClaim, ...] = ()
    resources: ResourceRequirements | None = None
    hostnameOverride: str | None = None
    schedulingGroup: PodSchedulingGroup | None = None


class PodStatus(Object, frozen=True, kw_only=True):
    observedGeneration: int = 0
    phase: str = ""
    conditions: tuple[PodCondition, ...] = ()
    message: str = ""
    reason: str = ""
    nominatedNodeName: str = ""
    hostIP: str = ""
    hostIPs: tuple[HostIP, ...] = ()
    podIP: str = ""
    podIPs: tuple[PodIP, ...] = ()
    startTime: Time | None = None
    initContainerStatuses: tuple[ContainerStatus, ...] = ()
    containerStatuses: tuple[ContainerStatus, ...] = ()
    qosClass: str = ""
    ephemeralContainerStatuses: tuple[ContainerStatus, ...] = ()
    resize: str = ""
    resourceClaimStatuses: tuple[PodResourceClaimStatus, ...] = ()
    extendedResourceClaimStatus: PodExtendedResourceClaimStatus | None = None
    allocatedResources: dict[str, Quantity] = {}
    resources: ResourceRequirements | None = None
    nodeAllocatableResourceClaimStatuses: tuple[NodeAllocatableResourceClaimStatus, ...] = ()


class PodTemplateSpec(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: PodSpec = field(default_factory=lambda: PodSpec())


class PortStatus(Object, frozen=True, kw_only=True):
    port: int = field(default_factory=zero)
    protocol: str = field(default_factory=text)
    error: str | None = None


class PortworxVolumeSource(Object, frozen=True, kw_only=True):
    volumeID: str = field(default_factory=text)
    fsType: str = ""
    readOnly: bool = False


class PreferredSchedulingTerm(Object, frozen=True, kw_only=True):
    weight: int = field(default_factory=zero)
    preference: NodeSelectorTerm = field(default_factory=lambda: NodeSelectorTerm())


class Probe(Object, frozen=True, kw_only=True):
    exec: ExecAction | None = None
    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initialDelaySeconds: int = 0
    timeoutSeconds: int = 0
    periodSeconds: int = 0
    successThreshold: int = 0
    failureThreshold: int = 0
    terminationGracePeriodSeconds: int | None = None


class ProbeHandler(Object, frozen=True, kw_only=True):
    exec: ExecAction | None = None
    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None


class ProjectedVolumeSource(Object, frozen=True, kw_only=True):
    sources: tuple[VolumeProjection, ...] = ()
    defaultMode: int | None = None


class QuobyteVolumeSource(Object, frozen=True, kw_only=True):
    registry: str = field(default_factory=text)
    volume: str = field(default_factory=text)
    readOnly: bool = False
    user: str = ""
    group: str = ""
    tenant: str = ""


class RBDPersistentVolumeSource(Object, frozen=True, kw_only=True):
    monitors: tuple[str, ...] = field(default_factory=empty)
    image: str = field(default_factory=text)
    fsType: str = ""
    pool: str = ""
    user: str = ""
    keyring: str = ""
    secretRef: SecretReference | None = None
    readOnly: bool = False


class RBDVolumeSource(Object, frozen=True, kw_only=True):
    monitors: tuple[str, ...] = field(default_factory=empty)
    image: str = field(default_factory=text)
    fsType: str = ""
    pool: str = ""
    user: str = ""
    keyring: str = ""
    secretRef: LocalObjectReference | None = None
    readOnly: bool = False


class ReplicationController(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ReplicationController")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: ReplicationControllerSpec = field(default_factory=lambda: ReplicationControllerSpec())
    status: ReplicationControllerStatus = field(default_factory=lambda: ReplicationControllerStatus())


class ReplicationControllerCondition(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    status: str = field(default_factory=text)
    lastTransitionTime: Time | None = None
    reason: str = ""
    message: str = ""


class ReplicationControllerList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ReplicationControllerList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ReplicationController, ...] = field(default_factory=empty)


class ReplicationControllerSpec(Object, frozen=True, kw_only=True):
    replicas: int | None = None
    minReadySeconds: int = 0
    selector: dict[str, str] = {}
    template: PodTemplateSpec | None = None


class ReplicationControllerStatus(Object, frozen=True, kw_only=True):
    replicas: int = field(default_factory=zero)
    fullyLabeledReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    observedGeneration: int = 0
    conditions: tuple[ReplicationControllerCondition, ...] = ()


class ResourceClaim(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    request: str = ""


class ResourceFieldSelector(Object, frozen=True, kw_only=True):
    containerName: str = ""
    resource: str = field(default_factory=text)
    divisor: Quantity | None = None


class ResourceHealth(Object, frozen=True, kw_only=True):
    resourceID: str = field(default_factory=text)
    health: str = ""
    message: str = ""


class ResourceQuota(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ResourceQuota")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: ResourceQuotaSpec = field(default_factory=lambda: ResourceQuotaSpec())
    status: ResourceQuotaStatus = field(default_factory=lambda: ResourceQuotaStatus())


class ResourceQuotaList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ResourceQuotaList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ResourceQuota, ...] = field(default_factory=empty)


class ResourceQuotaSpec(Object, frozen=True, kw_only=True):
    hard: dict[str, Quantity] = {}
    scopes: tuple[str, ...] = ()
    scopeSelector: ScopeSelector | None = None


class ResourceQuotaStatus(Object, frozen=True, kw_only=True):
    hard: dict[str, Quantity] = {}
    used: dict[str, Quantity] = {}


class ResourceRequirements(Object, frozen=True, kw_only=True):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    claims: tuple[ResourceClaim, ...] = ()


class ResourceStatus(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    resources: tuple[ResourceHealth, ...] = ()


class SELinuxOptions(Object, frozen=True, kw_only=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class ScaleIOPersistentVolumeSource(Object, frozen=True, kw_only=True):
    gateway: str = field(default_factory=text)
    system: str = field(default_factory=text)
    secretRef: SecretReference = field(default_factory=lambda: SecretReference())
    sslEnabled: bool = False
    protectionDomain: str = ""
    storagePool: str = ""
    storageMode: str = ""
    volumeName: str = ""
    fsType: str = ""
    readOnly: bool = False


class ScaleIOVolumeSource(Object, frozen=True, kw_only=True):
    gateway: str = field(default_factory=text)
    system: str = field(default_factory=text)
    secretRef: LocalObjectReference = field(default_factory=lambda: LocalObjectReference())
    sslEnabled: bool = False
    protectionDomain: str = ""
    storagePool: str = ""
    storageMode: str = ""
    volumeName: str = ""
    fsType: str = ""
    readOnly: bool = False


class ScopeSelector(Object, frozen=True, kw_only=True):
    matchExpressions: tuple[ScopedResourceSelectorRequirement, ...] = ()


class ScopedResourceSelectorRequirement(Object, frozen=True, kw_only=True):
    scopeName: str = field(default_factory=text)
    operator: str = field(default_factory=text)
    values: tuple[str, ...] = ()


class SeccompProfile(Object, frozen=True, kw_only=True):
    type: str = field(default_factory=text)
    localhostProfile: str | None = None


class Secret(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Secret")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    immutable: bool | None = None
    data: dict[str, bytes] = {}
    stringData: dict[str, str] = {}
    type: str = ""


class SecretEnvSource(Object, frozen=True, kw_only=True):
    name: str = ""
    optional: bool | None = None


class SecretKeySelector(Object, frozen=True, kw_only=True):
    name: str = ""
    key: str = field(default_factory=text)
    optional: bool | None = None


class SecretList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "SecretList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Secret, ...] = field(default_factory=empty)


class SecretProjection(Object, frozen=True, kw_only=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class SecretReference(Object, frozen=True, kw_only=True):
    name: str = ""
    namespace: str = ""


class SecretVolumeSource(Object, frozen=True, kw_only=True):
    secretName: str = ""
    items: tuple[KeyToPath, ...] = ()
    defaultMode: int | None = None
    optional: bool | None = None


class SecurityContext(Object, frozen=True, kw_only=True):
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    seLinuxOptions: SELinuxOptions | None = None
    windowsOptions: WindowsSecurityContextOptions | None = None
    runAsUser: int | None = None
    runAsGroup: int | None = None
    runAsNonRoot: bool | None = None
    readOnlyRootFilesystem: bool | None = None
    allowPrivilegeEscalation: bool | None = None
    procMount: str | None = None
    seccompProfile: SeccompProfile | None = None
    appArmorProfile: AppArmorProfile | None = None


class Service(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Service")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: ServiceSpec = field(default_factory=lambda: ServiceSpec())
    status: ServiceStatus = field(default_factory=lambda: ServiceStatus())


class ServiceAccount(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ServiceAccount")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    secrets: tuple[ObjectReference, ...] = ()
    imagePullSecrets: tuple[LocalObjectReference, ...] = ()
    automountServiceAccountToken: bool | None = None


class ServiceAccountList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ServiceAccountList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ServiceAccount, ...] = field(default_factory=empty)


class ServiceAccountTokenProjection(Object, frozen=True, kw_only=True):
    audience: str = ""
    expirationSeconds: int | None = None
    path: str = field(default_factory=text)


class ServiceList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ServiceList")
    apiVersion: str = field(default_factory=lambda: "v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Service, ...] = field(default_factory=empty)


class ServicePort(Object, frozen=True, kw_only=True):
    name: str = ""
    protocol: str = ""
    appProtocol: str | None = None
    port: int = field(default_factory=zero)
    targetPort: IntOrString | None = None
    nodePort: int = 0


class ServiceSpec(Object, frozen=True, kw_only=True):
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    clusterIP: str = ""
    clusterIPs: tuple[str, ...] = ()
    type: str = ""
    externalIPs: tuple[str, ...] = ()
    sessionAffinity: str = ""
    loadBalancerIP: str = ""
    loadBalancerSourceRanges: tuple[str, ...] = ()
    externalName: str = ""
    externalTrafficPolicy: str = ""
    healthCheckNodePort: int = 0
    publishNotReadyAddresses: bool = False
    sessionAffinityConfig: SessionAffinityConfig | None = None
    ipFamilies: tuple[str, ...] = ()
    ipFamilyPolicy: str | None = None
    allocateLoadBalancerNodePorts: bool | None = None
    loadBalancerClass: str | None = None
    internalTrafficPolicy: str | None = None
    trafficDistribution: str | None = None


class ServiceStatus(Object, frozen=True, kw_only=True):
    loadBalancer: LoadBalancerStatus = field(default_factory=lambda: LoadBalancerStatus())
    conditions: tuple[Condition, ...] = ()


class SessionAffinityConfig(Object, frozen=True, kw_only=True):
    clientIP: ClientIPConfig | None = None


class SleepAction(Object, frozen=True, kw_only=True):
    seconds: int = field(default_factory=zero)


class StorageOSPersistentVolumeSource(Object, frozen=True, kw_only=True):
    volumeName: str = ""
    volumeNamespace: str = ""
    fsType: str = ""
    readOnly: bool = False
    secretRef: ObjectReference | None = None


class StorageOSVolumeSource(Object, frozen=True, kw_only=True):
    volumeName: str = ""
    volumeNamespace: str = ""
    fsType: str = ""
    readOnly: bool = False
    secretRef: LocalObjectReference | None = None


class Sysctl(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    value: str = field(default_factory=text)


class TCPSocketAction(Object, frozen=True, kw_only=True):
    port: IntOrString | None = None
    host: str = ""


class Taint(Object, frozen=True, kw_only=True):
    key: str = field(default_factory=text)
    value: str = ""
    effect: str = field(default_factory=text)
    timeAdded: Time | None = None


class Toleration(Object, frozen=True, kw_only=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    tolerationSeconds: int | None = None


class TopologySelectorLabelRequirement(Object, frozen=True, kw_only=True):
    key: str = field(default_factory=text)
    values: tuple[str, ...] = field(default_factory=empty)


class TopologySelectorTerm(Object, frozen=True, kw_only=True):
    matchLabelExpressions: tuple[TopologySelectorLabelRequirement, ...] = ()


class TopologySpreadConstraint(Object, frozen=True, kw_only=True):
    maxSkew: int = field(default_factory=zero)
    topologyKey: str = field(default_factory=text)
    whenUnsatisfiable: str = field(default_factory=text)
    labelSelector: LabelSelector | None = None
    minDomains: int | None = None
    nodeAffinityPolicy: str | None = None
    nodeTaintsPolicy: str | None = None
    matchLabelKeys: tuple[str, ...] = ()


class TypedLocalObjectReference(Object, frozen=True, kw_only=True):
    apiGroup: str | None = None
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)


class TypedObjectReference(Object, frozen=True, kw_only=True):
    apiGroup: str | None = None
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)
    namespace: str | None = None


class Volume(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    hostPath: HostPathVolumeSource | None = None
    emptyDir: EmptyDirVolumeSource | None = None
    gcePersistentDisk: GCEPersistentDiskVolumeSource | None = None
    awsElasticBlockStore: AWSElasticBlockStoreVolumeSource | None = None
    gitRepo: GitRepoVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    persistentVolumeClaim: PersistentVolumeClaimVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    flexVolume: FlexVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    downwardAPI: DownwardAPIVolumeSource | None = None
    fc: FCVolumeSource | None = None
    azureFile: AzureFileVolumeSource | None = None
    configMap: ConfigMapVolumeSource | None = None
    vsphereVolume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azureDisk: AzureDiskVolumeSource | None = None
    photonPersistentDisk: PhotonPersistentDiskVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    portworxVolume: PortworxVolumeSource | None = None
    scaleIO: ScaleIOVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    image: ImageVolumeSource | None = None


class VolumeDevice(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    devicePath: str = field(default_factory=text)


class VolumeMount(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    readOnly: bool = False
    recursiveReadOnly: str | None = None
    mountPath: str = field(default_factory=text)
    subPath: str = ""
    mountPropagation: str | None = None
    subPathExpr: str = ""


class VolumeMountStatus(Object, frozen=True, kw_only=True):
    name: str = field(default_factory=text)
    mountPath: str = field(default_factory=text)
    readOnly: bool = False
    recursiveReadOnly: str | None = None
    volumeStatus: VolumeStatus | None = None


class VolumeNodeAffinity(Object, frozen=True, kw_only=True):
    required: NodeSelector | None = None


class VolumeProjection(Object, frozen=True, kw_only=True):
    secret: SecretProjection | None = None
    downwardAPI: DownwardAPIProjection | None = None
    configMap: ConfigMapProjection | None = None
    serviceAccountToken: ServiceAccountTokenProjection | None = None
    clusterTrustBundle: ClusterTrustBundleProjection | None = None
    podCertificate: PodCertificateProjection | None = None


class VolumeResourceRequirements(Object, frozen=True, kw_only=True):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class VolumeSource(Object, frozen=True, kw_only=True):
    hostPath: HostPathVolumeSource | None = None
    emptyDir: EmptyDirVolumeSource | None = None
    gcePersistentDisk: GCEPersistentDiskVolumeSource | None = None
    awsElasticBlockStore: AWSElasticBlockStoreVolumeSource | None = None
    gitRepo: GitRepoVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    persistentVolumeClaim: PersistentVolumeClaimVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    flexVolume: FlexVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    downwardAPI: DownwardAPIVolumeSource | None = None
    fc: FCVolumeSource | None = None
    azureFile: AzureFileVolumeSource | None = None
    configMap: ConfigMapVolumeSource | None = None
    vsphereVolume: VsphereVirtualDiskVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    azureDisk: AzureDiskVolumeSource | None = None
    photonPersistentDisk: PhotonPersistentDiskVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    portworxVolume: PortworxVolumeSource | None = None
    scaleIO: ScaleIOVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    image: ImageVolumeSource | None = None


class VolumeStatus(Object, frozen=True, kw_only=True):
    image: ImageVolumeStatus | None = None


class VsphereVirtualDiskVolumeSource(Object, frozen=True, kw_only=True):
    volumePath: str = field(default_factory=text)
    fsType: str = ""
    storagePolicyName: str = ""
    storagePolicyID: str = ""


class WeightedPodAffinityTerm(Object, frozen=True, kw_only=True):
    weight: int = field(default_factory=zero)
    podAffinityTerm: PodAffinityTerm = field(default_factory=lambda: PodAffinityTerm())


class WindowsSecurityContextOptions(Object, frozen=True, kw_only=True):
    gmsaCredentialSpecName: str | None = None
    gmsaCredentialSpec: str | None = None
    runAsUserName: str | None = None
    hostProcess: bool | None = None
