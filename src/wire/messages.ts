// Generated from proto/ by `npm run generate`; not to be edited.
import { createSchema, type Schema } from "./schema.ts";

export enum AdminVerb {
  UNSPECIFIED = 0,
  STATUS = 1,
  DUMP = 2,
  LIST_INSTANCES = 3,
  HEALTHZ = 4,
  READYZ = 5,
  BACKEND_HEALTH = 6,
  CONFIG = 7,
  DIAGNOSE = 8,
  METRICS = 9,
  /** Later versions of the reference. */
  SHUTDOWN = 21,
  /** Ours; other brokers answer exit code 2. */
  RELEASE_HANDLES = 1022,
  /** Ours: a new process takes the broker's place. Other brokers answer exit code 2. */
  RESTART = 1023,
}

export enum AdminReplyKind {
  TEXT = 0,
  JSON = 1,
  OPENMETRICS = 2,
}

export interface AdminRequest {
  verb: AdminVerb;
  /** STATUS only: JSON instead of text. */
  json: boolean;
  /** BACKEND_HEALTH only. */
  serviceName: string;
  /** DIAGNOSE only. */
  outputPath: string;
  /** SHUTDOWN only: how long work in flight may go on; 0 = the broker's default. */
  drainDeadlineMs: bigint;
  /** Ours, SHUTDOWN only: also stop the backends this broker launched. The reply says whether the broker knows it. */
  withBackends: boolean;
  /** Ours, RELEASE_HANDLES only: absolute path at and below which backends are to let go. */
  path: string;
  /** Ours, RELEASE_HANDLES and RESTART only: how long each backend, or the whole restart, may take; 0 = 5 s and 60 s. */
  timeoutMs: bigint;
}

export const AdminRequestSchema: Schema<AdminRequest> = createSchema("AdminRequest", [
  { number: 1, name: "verb", kind: "enum" },
  { number: 2, name: "json", kind: "bool" },
  { number: 3, name: "serviceName", kind: "text" },
  { number: 4, name: "outputPath", kind: "text" },
  { number: 5, name: "drainDeadlineMs", kind: "uint64" },
  { number: 1021, name: "withBackends", kind: "bool" },
  { number: 1022, name: "path", kind: "text" },
  { number: 1023, name: "timeoutMs", kind: "uint64" },
]);

export interface AdminReply {
  kind: AdminReplyKind;
  body: string;
  /** Exit code the command line must use. */
  exitCode: number;
  contentType: string;
  /** Ours, SHUTDOWN only: the broker stops its backends, too, as with_backends asked. */
  withBackends: boolean;
}

export const AdminReplySchema: Schema<AdminReply> = createSchema("AdminReply", [
  { number: 1, name: "kind", kind: "enum" },
  { number: 2, name: "body", kind: "text" },
  { number: 3, name: "exitCode", kind: "uint32" },
  { number: 4, name: "contentType", kind: "text" },
  { number: 1021, name: "withBackends", kind: "bool" },
]);

export enum ErrorCode {
  ERROR_CODE_UNSPECIFIED = 0,
  ERROR_VERSION_UNSUPPORTED = 1,
  ERROR_SERVICE_UNKNOWN = 2,
  ERROR_BACKEND_SPAWN_FAILED = 3,
  ERROR_RATE_LIMITED = 4,
  ERROR_SHUTTING_DOWN = 5,
  ERROR_PEER_REJECTED = 6,
  ERROR_INTERNAL = 7,
  ERROR_VERSION_BLOCKED = 8,
  ERROR_FD_PRESSURE = 9,
}

/** What a client asks of the broker: one service, one exact version. */
export interface Hello {
  /** Protocol range the client can speak; must include 1. */
  clientMinProtocol: number;
  clientMaxProtocol: number;
  /** 1 to 64 of a-z, 0-9 and '-'. */
  serviceName: string;
  /** Exactly this version, never a range; at most 64 bytes. */
  wantedVersion: string;
  /** For diagnosis only; at most 128 bytes. */
  clientVersion: string;
  /** Bit set; see docs/protocol.md, "Capability bits". 32 to 63 are this project's private range. */
  clientCapabilities: bigint;
  /** Not used in v1. */
  authToken: Uint8Array;
  /** Free text to find this request in logs. */
  requestId: string;
  /** 0 in a request. */
  connectionId: bigint;
  /** The client's own pid; refused when the kernel says otherwise. 0 = not told. */
  peerPid: number;
  /** At most 64 bytes each. */
  clientLibName: string;
  clientLibVersion: string;
  /** Not used in v1. */
  peerAttestationNonce: Uint8Array;
  capabilityToken: Uint8Array;
  /** Proposed keep-alive in seconds; 0 leaves it to the broker (1800). */
  clientKeepaliveSecs: bigint;
}

export const HelloSchema: Schema<Hello> = createSchema("Hello", [
  { number: 1, name: "clientMinProtocol", kind: "uint32" },
  { number: 2, name: "clientMaxProtocol", kind: "uint32" },
  { number: 3, name: "serviceName", kind: "text" },
  { number: 4, name: "wantedVersion", kind: "text" },
  { number: 5, name: "clientVersion", kind: "text" },
  { number: 6, name: "clientCapabilities", kind: "uint64" },
  { number: 7, name: "authToken", kind: "bytes" },
  { number: 8, name: "requestId", kind: "text" },
  { number: 9, name: "connectionId", kind: "uint64" },
  { number: 10, name: "peerPid", kind: "uint32" },
  { number: 11, name: "clientLibName", kind: "text" },
  { number: 12, name: "clientLibVersion", kind: "text" },
  { number: 13, name: "peerAttestationNonce", kind: "bytes" },
  { number: 14, name: "capabilityToken", kind: "bytes" },
  { number: 15, name: "clientKeepaliveSecs", kind: "uint64" },
]);

export interface HelloReply {
  result:
    | { case: "negotiated"; value: Negotiated }
    | { case: "refused"; value: Refused }
    | { case: undefined; value?: undefined };
}

export const HelloReplySchema: Schema<HelloReply> = createSchema("HelloReply", [
  { number: 1, name: "negotiated", kind: "message", oneof: "result", message: () => NegotiatedSchema },
  { number: 2, name: "refused", kind: "message", oneof: "result", message: () => RefusedSchema },
]);

/** The backend is there and was verified. */
export interface Negotiated {
  negotiatedProtocol: number;
  /** Version of the selected backend, not of the broker. */
  daemonVersion: string;
  /** Address to dial; stays valid whatever becomes of a handoff. */
  backendPipe: string;
  warnings: string[];
  serverCapabilities: bigint;
  keepaliveIntervalSecs: bigint;
  /** Empty, or 16 random bytes when a handoff will be attempted. */
  handlePassedToken: Uint8Array;
  /** Unique for the life of the broker. */
  connectionId: bigint;
}

export const NegotiatedSchema: Schema<Negotiated> = createSchema("Negotiated", [
  { number: 1, name: "negotiatedProtocol", kind: "uint32" },
  { number: 2, name: "daemonVersion", kind: "text" },
  { number: 3, name: "backendPipe", kind: "text" },
  { number: 4, name: "warnings", kind: "texts" },
  { number: 5, name: "serverCapabilities", kind: "uint64" },
  { number: 6, name: "keepaliveIntervalSecs", kind: "uint64" },
  { number: 7, name: "handlePassedToken", kind: "bytes" },
  { number: 8, name: "connectionId", kind: "uint64" },
]);

export interface Refused {
  /** For people; programs look at code. */
  reason: string;
  daemonMinProtocol: number;
  daemonMaxProtocol: number;
  code: ErrorCode;
  /** Further facts, such as "log_tail" after a failed launch. */
  details: Record<string, string>;
  /** 0 = no hint. */
  retryAfterMs: bigint;
}

export const RefusedSchema: Schema<Refused> = createSchema("Refused", [
  { number: 1, name: "reason", kind: "text" },
  { number: 2, name: "daemonMinProtocol", kind: "uint32" },
  { number: 3, name: "daemonMaxProtocol", kind: "uint32" },
  { number: 4, name: "code", kind: "enum" },
  { number: 5, name: "details", kind: "textMap" },
  { number: 6, name: "retryAfterMs", kind: "uint64" },
]);

export enum FrameKind {
  REQUEST = 0,
  RESPONSE = 1,
  EVENT = 2,
  CANCEL = 3,
}

export enum PayloadEncoding {
  NONE = 0,
  ZSTD = 1,
  SNAPPY = 2,
  LZ4 = 3,
}

/**
 * Body of every v1 frame: one envelope around one payload. The 5-byte stream
 * header in front of it (version byte, little-endian length) is not protobuf.
 */
export interface Frame {
  /** Protocol version of this envelope; 1. Not the framing byte of the header. */
  envelopeVersion: number;
  kind: FrameKind;
  /** Which protocol the payload speaks; see docs/protocol.md, "Payload protocols". */
  payloadProtocol: number;
  payload: Uint8Array;
  /** Chosen by the requester, echoed by the responder. */
  requestId: bigint;
  payloadEncoding: PayloadEncoding;
  /** Reserved for a deadline hint; senders write 0, receivers ignore it. */
  deadlineUnixMs: bigint;
  /** W3C trace context, echoed verbatim and forwarded to a launched backend. */
  traceparent: string;
  tracestate: string;
}

export const FrameSchema: Schema<Frame> = createSchema("Frame", [
  { number: 1, name: "envelopeVersion", kind: "uint32" },
  { number: 2, name: "kind", kind: "enum" },
  { number: 3, name: "payloadProtocol", kind: "uint32" },
  { number: 4, name: "payload", kind: "bytes" },
  { number: 5, name: "requestId", kind: "uint64" },
  { number: 6, name: "payloadEncoding", kind: "enum" },
  { number: 7, name: "deadlineUnixMs", kind: "uint64" },
  { number: 8, name: "traceparent", kind: "text" },
  { number: 9, name: "tracestate", kind: "text" },
]);

/** Broker to backend: take over this client connection. */
export interface HandoffOffer {
  /** Windows: handle valid in the backend's table. Unix: 0, the descriptor rides on the token bytes. */
  handleValue: bigint;
  /** 16 bytes, good for one use. */
  token: Uint8Array;
  serviceName: string;
  /** Equals Frame.request_id. */
  correlationId: bigint;
  /**
   * Ours, direct mode only: stream bytes the backend writes to the client in front of everything else. They are the
   * broker's answer to the Hello.
   */
  clientReply: Uint8Array;
}

export const HandoffOfferSchema: Schema<HandoffOffer> = createSchema("HandoffOffer", [
  { number: 1, name: "handleValue", kind: "uint64" },
  { number: 2, name: "token", kind: "bytes" },
  { number: 3, name: "serviceName", kind: "text" },
  { number: 4, name: "correlationId", kind: "uint64" },
  { number: 1021, name: "clientReply", kind: "bytes" },
]);

/** Backend to broker: the verdict. The broker relays an accepted one to the client. */
export interface HandoffAck {
  /** The presented bytes, unchanged even when malformed. */
  token: Uint8Array;
  accepted: boolean;
  /** Why not, when not accepted. */
  errorDetail: string;
  correlationId: bigint;
}

export const HandoffAckSchema: Schema<HandoffAck> = createSchema("HandoffAck", [
  { number: 1, name: "token", kind: "bytes" },
  { number: 2, name: "accepted", kind: "bool" },
  { number: 3, name: "errorDetail", kind: "text" },
  { number: 4, name: "correlationId", kind: "uint64" },
]);

export enum EventKind {
  EVENT_KIND_UNSPECIFIED = 0,
  SPAWN_ATTEMPT = 1,
  SPAWN = 2,
  DIED_IDLE = 3,
  DIED_SHUTDOWN = 4,
  DIED_CRASH = 5,
  VERSION_MISMATCH = 6,
  REPLACED_BY_NEWER = 7,
  HELLO_ACCEPTED = 8,
  HELLO_REFUSED = 9,
  SERVICE_DEF_LOADED = 10,
  SERVICE_DEF_CHANGED = 11,
  BROADCAST_SENT = 12,
  BROADCAST_ACK = 13,
  BROADCAST_TIMEOUT = 14,
  PROTOCOL_DOWNGRADE = 15,
  CACHE_CORRUPTION_DETECTED = 16,
  RESOURCE_PRESSURE = 17,
  SECURITY_VIOLATION = 18,
  TEARDOWN_HOOK_FAILED = 19,
  MANIFEST_REWRITTEN = 20,
}

/** One thing that happened, at most 512 bytes encoded so that one append stays whole. */
export interface LifecycleEvent {
  tsMs: bigint;
  pid: number;
  serviceName: string;
  kind: EventKind;
  reason: string;
  extra: Record<string, string>;
  /** OpenTelemetry severity, 1 to 24. */
  severityNumber: number;
  severityText: string;
  requestId: string;
  connectionId: bigint;
  brokerInstance: string;
}

export const LifecycleEventSchema: Schema<LifecycleEvent> = createSchema("LifecycleEvent", [
  { number: 1, name: "tsMs", kind: "uint64" },
  { number: 2, name: "pid", kind: "uint32" },
  { number: 3, name: "serviceName", kind: "text" },
  { number: 4, name: "kind", kind: "enum" },
  { number: 5, name: "reason", kind: "text" },
  { number: 6, name: "extra", kind: "textMap" },
  { number: 7, name: "severityNumber", kind: "uint32" },
  { number: 8, name: "severityText", kind: "text" },
  { number: 9, name: "requestId", kind: "text" },
  { number: 10, name: "connectionId", kind: "uint64" },
  { number: 11, name: "brokerInstance", kind: "text" },
]);

export enum OperationKind {
  OPERATION_IDLE = 0,
  OPERATION_COMPACTING = 1,
  OPERATION_MIGRATING = 2,
  OPERATION_REBUILDING_INDEX = 3,
  OPERATION_EVICTING_LRU = 4,
  OPERATION_ARCHIVING = 5,
}

export enum CacheRootKind {
  CACHE_ROOT_KIND_UNSPECIFIED = 0,
  CACHE_DATA = 1,
  CACHE_LOGS = 2,
  CACHE_LOCKS = 3,
  CACHE_RUNTIME = 4,
  CACHE_TMP = 5,
  CACHE_CONFIG = 6,
  CACHE_INDEX = 7,
  CACHE_JOURNAL = 8,
  CACHE_SECRETS = 9,
}

export enum StorageDisposition {
  PRUNE_ON_UNINSTALL = 0,
  PRESERVE_ACROSS_UNINSTALL = 1,
  PRUNE_WHEN_DORMANT = 2,
  NEVER_PRUNE = 3,
  PRUNE_ON_CRASH = 4,
}

export enum TeardownKind {
  TEARDOWN_NONE = 0,
  TEARDOWN_REDB_COMPACT = 1,
  TEARDOWN_SQLITE_VACUUM = 2,
  TEARDOWN_CUSTOM_COMMAND = 3,
}

/** An address and the name space in which it has meaning. */
export interface Endpoint {
  /** Broker instance id for a launched backend, any label for others. */
  namespaceId: string;
  path: string;
}

export const EndpointSchema: Schema<Endpoint> = createSchema("Endpoint", [
  { number: 1, name: "namespaceId", kind: "text" },
  { number: 2, name: "path", kind: "text" },
]);

/** Who a backend says it is; compared with what the kernel says. */
export interface DaemonProcess {
  pid: number;
  /** Canonical path of the executable, or of the script when an interpreter runs one. */
  exePath: string;
  /** SHA-256 of that file, 32 bytes. */
  exeSha256: Uint8Array;
  ipcEndpoint?: Endpoint;
  startedAtUnixMs: bigint;
  bootId: string;
  idleTimeoutSecs?: number;
  /** "blake3", with the 32 bytes in exe_hash. */
  exeHashAlgorithm: string;
  exeHash: Uint8Array;
}

export const DaemonProcessSchema: Schema<DaemonProcess> = createSchema("DaemonProcess", [
  { number: 1, name: "pid", kind: "uint32" },
  { number: 2, name: "exePath", kind: "text" },
  { number: 3, name: "exeSha256", kind: "bytes" },
  { number: 4, name: "ipcEndpoint", kind: "message", message: () => EndpointSchema },
  { number: 5, name: "startedAtUnixMs", kind: "uint64" },
  { number: 6, name: "bootId", kind: "text" },
  { number: 7, name: "idleTimeoutSecs", kind: "uint32", optional: true },
  { number: 8, name: "exeHashAlgorithm", kind: "text" },
  { number: 9, name: "exeHash", kind: "bytes" },
]);

export interface HostIdentity {
  hostname: string;
  machineId: string;
  bootId: string;
  fsDevId: bigint;
  namespaceId: string;
}

export const HostIdentitySchema: Schema<HostIdentity> = createSchema("HostIdentity", [
  { number: 1, name: "hostname", kind: "text" },
  { number: 2, name: "machineId", kind: "text" },
  { number: 3, name: "bootId", kind: "text" },
  { number: 4, name: "fsDevId", kind: "uint64" },
  { number: 5, name: "namespaceId", kind: "text" },
]);

/** What one version of one service keeps on this host, and the process that serves it. */
export interface CacheManifest {
  serviceName: string;
  serviceVersion: string;
  brokerEnvelopeVersion: string;
  createdAtUnixMs: bigint;
  lastActiveUnixMs: bigint;
  roots: CacheRoot[];
  currentDaemon?: DaemonProcess;
  cleanupPolicy?: CleanupPolicy;
  brokerInstance: string;
  dependsOn: ManifestRef[];
  provides: string[];
  observability?: ObservabilityInfo;
  bundleId: string;
  manifestSchemaVersion: number;
  mediaType: string;
  /** SHA-256 over this message with this field left out. */
  selfSha256: Uint8Array;
  host?: HostIdentity;
  currentOperation?: Operation;
  validUntilUnixMs: bigint;
}

export const CacheManifestSchema: Schema<CacheManifest> = createSchema("CacheManifest", [
  { number: 1, name: "serviceName", kind: "text" },
  { number: 2, name: "serviceVersion", kind: "text" },
  { number: 3, name: "brokerEnvelopeVersion", kind: "text" },
  { number: 4, name: "createdAtUnixMs", kind: "uint64" },
  { number: 5, name: "lastActiveUnixMs", kind: "uint64" },
  { number: 10, name: "roots", kind: "messages", message: () => CacheRootSchema },
  { number: 20, name: "currentDaemon", kind: "message", message: () => DaemonProcessSchema },
  { number: 30, name: "cleanupPolicy", kind: "message", message: () => CleanupPolicySchema },
  { number: 40, name: "brokerInstance", kind: "text" },
  { number: 50, name: "dependsOn", kind: "messages", message: () => ManifestRefSchema },
  { number: 51, name: "provides", kind: "texts" },
  { number: 60, name: "observability", kind: "message", message: () => ObservabilityInfoSchema },
  { number: 70, name: "bundleId", kind: "text" },
  { number: 100, name: "manifestSchemaVersion", kind: "uint32" },
  { number: 101, name: "mediaType", kind: "text" },
  { number: 102, name: "selfSha256", kind: "bytes" },
  { number: 103, name: "host", kind: "message", message: () => HostIdentitySchema },
  { number: 104, name: "currentOperation", kind: "message", message: () => OperationSchema },
  { number: 105, name: "validUntilUnixMs", kind: "uint64" },
]);

export interface Operation {
  kind: OperationKind;
  startedAtUnixMs: bigint;
  expectedDoneUnixMs: bigint;
}

export const OperationSchema: Schema<Operation> = createSchema("Operation", [
  { number: 1, name: "kind", kind: "enum" },
  { number: 2, name: "startedAtUnixMs", kind: "uint64" },
  { number: 3, name: "expectedDoneUnixMs", kind: "uint64" },
]);

export interface CacheRoot {
  path: string;
  kind: CacheRootKind;
  estimatedSizeBytes: bigint;
  disposition: StorageDisposition;
  labels: Record<string, string>;
  quota?: Quota;
  teardownHook?: TeardownHook;
  excludeGlobs: string[];
  platformPaths: Record<string, string>;
  ownership?: Ownership;
  endpoint?: Endpoint;
}

export const CacheRootSchema: Schema<CacheRoot> = createSchema("CacheRoot", [
  { number: 1, name: "path", kind: "text" },
  { number: 2, name: "kind", kind: "enum" },
  { number: 3, name: "estimatedSizeBytes", kind: "uint64" },
  { number: 4, name: "disposition", kind: "enum" },
  { number: 5, name: "labels", kind: "textMap" },
  { number: 6, name: "quota", kind: "message", message: () => QuotaSchema },
  { number: 7, name: "teardownHook", kind: "message", message: () => TeardownHookSchema },
  { number: 8, name: "excludeGlobs", kind: "texts" },
  { number: 9, name: "platformPaths", kind: "textMap" },
  { number: 10, name: "ownership", kind: "message", message: () => OwnershipSchema },
  { number: 11, name: "endpoint", kind: "message", message: () => EndpointSchema },
]);

export interface TeardownHook {
  kind: TeardownKind;
  argv: string[];
  timeoutSecs: bigint;
}

export const TeardownHookSchema: Schema<TeardownHook> = createSchema("TeardownHook", [
  { number: 1, name: "kind", kind: "enum" },
  { number: 2, name: "argv", kind: "texts" },
  { number: 3, name: "timeoutSecs", kind: "uint64" },
]);

export interface Quota {
  hardMaxBytes: bigint;
  softTargetBytes: bigint;
  reservedBytes: bigint;
}

export const QuotaSchema: Schema<Quota> = createSchema("Quota", [
  { number: 1, name: "hardMaxBytes", kind: "uint64" },
  { number: 2, name: "softTargetBytes", kind: "uint64" },
  { number: 3, name: "reservedBytes", kind: "uint64" },
]);

export interface Ownership {
  uid: number;
  gid: number;
  mode: number;
  windowsSid: string;
}

export const OwnershipSchema: Schema<Ownership> = createSchema("Ownership", [
  { number: 1, name: "uid", kind: "uint32" },
  { number: 2, name: "gid", kind: "uint32" },
  { number: 3, name: "mode", kind: "uint32" },
  { number: 4, name: "windowsSid", kind: "text" },
]);

export interface CleanupPolicy {
  dormantAfterSecs: bigint;
  keepLastNVersions: number;
  keepCurrent: boolean;
  minSizeForPruneBytes: bigint;
}

export const CleanupPolicySchema: Schema<CleanupPolicy> = createSchema("CleanupPolicy", [
  { number: 1, name: "dormantAfterSecs", kind: "uint64" },
  { number: 2, name: "keepLastNVersions", kind: "uint32" },
  { number: 3, name: "keepCurrent", kind: "bool" },
  { number: 4, name: "minSizeForPruneBytes", kind: "uint64" },
]);

export interface ManifestRef {
  serviceName: string;
  minVersion: string;
  optional: boolean;
}

export const ManifestRefSchema: Schema<ManifestRef> = createSchema("ManifestRef", [
  { number: 1, name: "serviceName", kind: "text" },
  { number: 2, name: "minVersion", kind: "text" },
  { number: 3, name: "optional", kind: "bool" },
]);

export interface ObservabilityInfo {
  metricsEndpoint: string;
  logPath: string;
  healthCheckEndpoint: string;
}

export const ObservabilityInfoSchema: Schema<ObservabilityInfo> = createSchema("ObservabilityInfo", [
  { number: 1, name: "metricsEndpoint", kind: "text" },
  { number: 2, name: "logPath", kind: "text" },
  { number: 3, name: "healthCheckEndpoint", kind: "text" },
]);

/** Which broker instance serves the service. */
export enum BrokerIsolation {
  PRIVATE_BROKER = 0,
  SHARED_BROKER = 1,
  EXPLICIT_INSTANCE = 2,
}

/** Content of a SERVICE.servicedef file, bare, without header. */
export interface ServiceDefinition {
  /** Must equal the file's stem. */
  serviceName: string;
  /** Absolute. "{version}" stands for the wanted version. */
  binaryPath: string;
  isolation: BrokerIsolation;
  /** Set exactly when isolation is EXPLICIT_INSTANCE. */
  explicitInstance: string;
  /** Allow root: the binary must lie below it once links are resolved. Absolute; needed for launching. */
  perVersionBinaryDir: string;
  minVersion: string;
  versionAllowList: string[];
  /** Settings this message has no field for; see docs/operations.md, "Labels". */
  labels: Record<string, string>;
}

export const ServiceDefinitionSchema: Schema<ServiceDefinition> = createSchema("ServiceDefinition", [
  { number: 1, name: "serviceName", kind: "text" },
  { number: 2, name: "binaryPath", kind: "text" },
  { number: 3, name: "isolation", kind: "enum" },
  { number: 4, name: "explicitInstance", kind: "text" },
  { number: 5, name: "perVersionBinaryDir", kind: "text" },
  { number: 6, name: "minVersion", kind: "text" },
  { number: 7, name: "versionAllowList", kind: "texts" },
  { number: 8, name: "labels", kind: "textMap" },
]);

export enum QuiesceReason {
  UNSPECIFIED = 0,
  /** Only if it is idle still: a busy backend refuses. */
  IDLE_TIMEOUT = 1,
  BROKER_SHUTDOWN = 2,
  MAINTENANCE = 3,
}

export enum OutcomeStatus {
  UNSPECIFIED = 0,
  /** Quiesced, or let go of something. */
  DONE = 1,
  /** ReleaseHandles: it holds nothing there. */
  NOTHING_HELD = 2,
  /** Quiesce: it goes on serving. */
  REFUSED = 3,
  /** It tried and could not. */
  FAILED = 4,
  /** It has no means to do this. */
  UNSUPPORTED = 5,
}

/**
 * What travels on the control channel beside handoffs. Ours: the reference has no such channel. A message is the payload
 * of an EVENT frame with payload protocol 0x0000; unknown arms are ignored by both sides.
 */
export interface ControlMessage {
  message:
    | { case: "announce"; value: Announce }
    | { case: "leases"; value: Leases }
    | { case: "outcome"; value: Outcome }
    | { case: "attach"; value: Attach }
    | { case: "attached"; value: Attached }
    | { case: "quiesce"; value: Quiesce }
    | { case: "releaseHandles"; value: ReleaseHandles }
    | { case: undefined; value?: undefined };
}

export const ControlMessageSchema: Schema<ControlMessage> = createSchema("ControlMessage", [
  { number: 1, name: "announce", kind: "message", oneof: "message", message: () => AnnounceSchema },
  { number: 2, name: "leases", kind: "message", oneof: "message", message: () => LeasesSchema },
  { number: 3, name: "outcome", kind: "message", oneof: "message", message: () => OutcomeSchema },
  { number: 4, name: "attach", kind: "message", oneof: "message", message: () => AttachSchema },
  { number: 5, name: "attached", kind: "message", oneof: "message", message: () => AttachedSchema },
  { number: 6, name: "quiesce", kind: "message", oneof: "message", message: () => QuiesceSchema },
  { number: 7, name: "releaseHandles", kind: "message", oneof: "message", message: () => ReleaseHandlesSchema },
]);

export interface Announce {
  /** Bit set of what the backend can do; see docs/protocol.md, "Capability bits". */
  capabilities: bigint;
  /** Bit set of the control messages it sends and answers: 0 Leases, 1 Quiesce, 2 ReleaseHandles. */
  features: bigint;
}

export const AnnounceSchema: Schema<Announce> = createSchema("Announce", [
  { number: 1, name: "capabilities", kind: "uint64" },
  { number: 2, name: "features", kind: "uint64" },
]);

/** Busy is who holds any of the three numbers above zero. */
export interface Leases {
  /** In progress, or with an answer that has not left. */
  requests: number;
  /** Open connections of clients, 0 when the backend does not count them as work. */
  connections: number;
  /** Taken by the backend's own code for work that no request shows. */
  held: number;
  /** Of some of those held, for people. */
  reasons: string[];
  /** Requests and leases since the process began: a change says that there was work, even if none is there now. */
  begun: bigint;
}

export const LeasesSchema: Schema<Leases> = createSchema("Leases", [
  { number: 1, name: "requests", kind: "uint32" },
  { number: 2, name: "connections", kind: "uint32" },
  { number: 3, name: "held", kind: "uint32" },
  { number: 4, name: "reasons", kind: "texts" },
  { number: 5, name: "begun", kind: "uint64" },
]);

export interface Attach {
  /** Path of the socket it serves, exactly as in its launch environment. */
  endpoint: string;
  /** Its own; the broker compares it with the kernel's word. */
  pid: number;
}

export const AttachSchema: Schema<Attach> = createSchema("Attach", [
  { number: 1, name: "endpoint", kind: "text" },
  { number: 2, name: "pid", kind: "uint32" },
]);

export type Attached = Record<string, never>;

export const AttachedSchema: Schema<Attached> = createSchema("Attached", []);

export interface Quiesce {
  id: bigint;
  reason: QuiesceReason;
  /** How long the broker waits for the outcome. */
  timeoutMs: bigint;
}

export const QuiesceSchema: Schema<Quiesce> = createSchema("Quiesce", [
  { number: 1, name: "id", kind: "uint64" },
  { number: 2, name: "reason", kind: "enum" },
  { number: 3, name: "timeoutMs", kind: "uint64" },
]);

export interface ReleaseHandles {
  id: bigint;
  /** Absolute and normalised, without a slash at its end. */
  path: string;
  /** How long the broker waits for the outcome. */
  timeoutMs: bigint;
}

export const ReleaseHandlesSchema: Schema<ReleaseHandles> = createSchema("ReleaseHandles", [
  { number: 1, name: "id", kind: "uint64" },
  { number: 2, name: "path", kind: "text" },
  { number: 3, name: "timeoutMs", kind: "uint64" },
]);

export interface Outcome {
  /** Of the request it answers. */
  id: bigint;
  status: OutcomeStatus;
  /** Why, for people. */
  detail: string;
}

export const OutcomeSchema: Schema<Outcome> = createSchema("Outcome", [
  { number: 1, name: "id", kind: "uint64" },
  { number: 2, name: "status", kind: "enum" },
  { number: 3, name: "detail", kind: "text" },
]);

/**
 * What passes between a broker and the new process that takes its place (docs/protocol.md, "Succession"). Ours, and only
 * between two versions of this package. Each message is framing version, length and the message; a descriptor rides on
 * its first byte where that is said.
 */
export interface SuccessionMessage {
  message:
    | { case: "prepared"; value: Prepared }
    | { case: "listener"; value: Listener }
    | { case: "lock"; value: Lock }
    | { case: "backend"; value: Backend }
    | { case: "complete"; value: Complete }
    | { case: "received"; value: Received }
    | { case: "failed"; value: Failed }
    | { case: "yours"; value: Yours }
    | { case: "serving"; value: Serving }
    | { case: "request"; value: Request }
    | { case: undefined; value?: undefined };
}

export const SuccessionMessageSchema: Schema<SuccessionMessage> = createSchema("SuccessionMessage", [
  { number: 1, name: "prepared", kind: "message", oneof: "message", message: () => PreparedSchema },
  { number: 2, name: "listener", kind: "message", oneof: "message", message: () => ListenerSchema },
  { number: 3, name: "lock", kind: "message", oneof: "message", message: () => LockSchema },
  { number: 4, name: "backend", kind: "message", oneof: "message", message: () => BackendSchema },
  { number: 5, name: "complete", kind: "message", oneof: "message", message: () => CompleteSchema },
  { number: 6, name: "received", kind: "message", oneof: "message", message: () => ReceivedSchema },
  { number: 7, name: "failed", kind: "message", oneof: "message", message: () => FailedSchema },
  { number: 8, name: "request", kind: "message", oneof: "message", message: () => RequestSchema },
  { number: 9, name: "yours", kind: "message", oneof: "message", message: () => YoursSchema },
  { number: 10, name: "serving", kind: "message", oneof: "message", message: () => ServingSchema },
]);

export interface Prepared {
  /** Of the package. */
  version: string;
}

export const PreparedSchema: Schema<Prepared> = createSchema("Prepared", [
  { number: 1, name: "version", kind: "text" },
]);

export interface Listener {
  /** Of the socket's file. */
  device: bigint;
  inode: bigint;
  /** Connections accepted so far. */
  accepted: bigint;
  /** The last one given out; the successor counts on. */
  lastConnectionId: bigint;
}

export const ListenerSchema: Schema<Listener> = createSchema("Listener", [
  { number: 1, name: "device", kind: "uint64" },
  { number: 2, name: "inode", kind: "uint64" },
  { number: 3, name: "accepted", kind: "uint64" },
  { number: 4, name: "lastConnectionId", kind: "uint64" },
]);

export type Lock = Record<string, never>;

export const LockSchema: Schema<Lock> = createSchema("Lock", []);

export interface Backend {
  /** Path of the socket it serves. */
  endpoint: string;
  pid: number;
  /** Wall clock, milliseconds since 1970 UTC; 0 = never. */
  lastHelloUnixMs: bigint;
  /** The same, its start before the first Hello. */
  lastActiveUnixMs: bigint;
  /** Absent when it has no control channel. */
  channel?: Channel;
  /** It has been sent SIGTERM. */
  terminated: boolean;
  /** Milliseconds until it is to be killed; absent when it has no limit. */
  killInMs?: bigint;
}

export const BackendSchema: Schema<Backend> = createSchema("Backend", [
  { number: 1, name: "endpoint", kind: "text" },
  { number: 2, name: "pid", kind: "uint32" },
  { number: 3, name: "lastHelloUnixMs", kind: "uint64" },
  { number: 4, name: "lastActiveUnixMs", kind: "uint64" },
  { number: 5, name: "channel", kind: "message", message: () => ChannelSchema },
  { number: 6, name: "terminated", kind: "bool" },
  { number: 7, name: "killInMs", kind: "uint64", optional: true },
]);

/** What the backend said on its control channel so far. */
export interface Channel {
  capabilities: bigint;
  features: bigint;
  /** Its last report; absent when it has made none. */
  leases?: Leases;
  /** The last id of a Quiesce or ReleaseHandles that was sent. */
  lastRequestId: bigint;
  /** Read, but not yet a whole message. */
  unfinished: Uint8Array;
}

export const ChannelSchema: Schema<Channel> = createSchema("Channel", [
  { number: 1, name: "capabilities", kind: "uint64" },
  { number: 2, name: "features", kind: "uint64" },
  { number: 3, name: "leases", kind: "message", message: () => LeasesSchema },
  { number: 4, name: "lastRequestId", kind: "uint64" },
  { number: 5, name: "unfinished", kind: "bytes" },
]);

export interface Complete {
  /** Backend messages before it. */
  backends: number;
}

export const CompleteSchema: Schema<Complete> = createSchema("Complete", [
  { number: 1, name: "backends", kind: "uint32" },
]);

export type Received = Record<string, never>;

export const ReceivedSchema: Schema<Received> = createSchema("Received", []);

export type Yours = Record<string, never>;

export const YoursSchema: Schema<Yours> = createSchema("Yours", []);

export type Serving = Record<string, never>;

export const ServingSchema: Schema<Serving> = createSchema("Serving", []);

export interface Failed {
  /** Of docs/errors.md. */
  code: string;
  reason: string;
}

export const FailedSchema: Schema<Failed> = createSchema("Failed", [
  { number: 1, name: "code", kind: "text" },
  { number: 2, name: "reason", kind: "text" },
]);

export interface Request {
  /** Body of the frame that was read from it. */
  frame: Uint8Array;
}

export const RequestSchema: Schema<Request> = createSchema("Request", [{ number: 1, name: "frame", kind: "bytes" }]);
