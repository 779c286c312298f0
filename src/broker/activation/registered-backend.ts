/**
 * The one backend of registered mode: a process that something else started. It is verified at start; a Hello trusts what the
 * kernel says of it, its pidfd and the socket file that was there when it was verified, and connects to nothing. When it binds
 * its socket anew it is verified anew.
 */
import { acquireAsync } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import { discoverBackend, verifyBackend, verifyProcess } from "../../exchange/verify-backend.ts";
import type { BackendKey } from "../../model/backend-key.ts";
import type { BackendState } from "../../model/backend-state.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import { checkVersion, instanceId } from "../../model/names.ts";
import { checkVersionPolicy } from "../../model/negotiate.ts";
import { instanceOf } from "../../model/service-definition.ts";
import type { Platform, ProcessHandle } from "../../platform/ports/index.ts";
import type { DefinitionStore } from "../../store/definition-store.ts";
import { createDialledWay } from "../handoff/dialled-handoff.ts";
import type { HandoffWay } from "../handoff/handoff-transport.ts";
import type { Backend } from "../supervisor/backend.ts";
import { createLiveness } from "../supervisor/liveness.ts";
import { type EndpointSocket, watchEndpointSocket } from "../supervisor/socket-watch.ts";

/** One that something else started, as it is named at the broker's start. */
export interface RegisteredBackend {
  readonly service: string;
  readonly version: string;
  readonly endpoint: string;
  /** Socket on which the backend takes client connections over. Default: none, clients reconnect. */
  readonly handoffEndpoint?: string;
  /** Default: what the backend answers to a probe, once the kernel confirms it. */
  readonly expected?: BackendIdentity;
}

/** The caller closes it: a watch on its socket's directory and a handle on its process. */
export interface RegisteredServing extends Backend {
  close(): void;
}

/**
 * Order of checks as in the reference (spec: server §3.1), with its limitation lifted: any process may be the backend.
 *
 * @throws BrokerError VERSION_INVALID, VERSION_BLOCKED, IDENTITY_MISMATCH, those of loading the definition and of the probe
 */
export async function verifyRegistered(
  platform: Platform,
  definitions: DefinitionStore,
  registered: RegisteredBackend,
): Promise<RegisteredServing> {
  const definition = definitions.load(registered.service);
  checkVersion("configured service version", registered.version);
  const blocked = checkVersionPolicy(definition, registered.version);
  if (blocked !== undefined)
    throw new BrokerError(
      "VERSION_BLOCKED",
      `configured service version is blocked by service-definition policy: ${blocked.reason}`,
    );
  return acquireAsync(async (held) => {
    // Before the probe: a socket that is bound anew while it is answered is another one afterwards.
    const socket = held.use(watchEndpointSocket(platform, registered.endpoint));
    const identity = await identify(platform, registered);
    const key = {
      instanceId: instanceId(instanceOf(definition)),
      service: registered.service,
      version: registered.version,
    };
    const process = platform.processes.open(identity.pid);
    if (process === undefined)
      throw new BrokerError("PROCESS_EXITED", `backend process ${identity.pid} ended while it was being registered`, {
        details: { pid: identity.pid },
      });
    held.use(process);
    // Before it was held, its number may have got another owner.
    await verifyProcess(platform, identity);
    return new Registered({ platform, key, identity, process, socket, handoffEndpoint: registered.handoffEndpoint });
  });
}

interface RegisteredParts {
  readonly platform: Platform;
  readonly key: BackendKey;
  readonly identity: BackendIdentity;
  /** Consumed, as is `socket`. */
  readonly process: ProcessHandle;
  readonly socket: EndpointSocket;
  readonly handoffEndpoint: string | undefined;
}

class Registered implements RegisteredServing {
  readonly key: BackendKey;
  readonly identity: BackendIdentity;
  lastActiveUnixMs: number;
  lastHelloUnixMs = 0;
  private readonly way: HandoffWay | undefined;
  private readonly liveness: ReturnType<typeof createLiveness>;
  private socket: EndpointSocket;
  private verifying: Promise<boolean> | undefined;
  private closed = false;

  constructor(private readonly parts: RegisteredParts) {
    const { platform, key, identity, process, socket, handoffEndpoint } = parts;
    this.key = key;
    this.identity = identity;
    this.socket = socket;
    this.liveness = createLiveness({ platform, process, path: identity.endpoint.path });
    this.lastActiveUnixMs = identity.startedAtUnixMs;
    this.way = handoffEndpoint === undefined ? undefined : createDialledWay(platform, handoffEndpoint);
  }

  get state(): BackendState {
    return this.parts.process.isAlive() ? "running" : "absent";
  }

  isServing(): MaybePromise<boolean> {
    const liveness = this.liveness(this.socket);
    if (liveness !== "moved") return liveness === "serving";
    this.verifying ??= this.verifyAgain().finally(() => {
      this.verifying = undefined;
    });
    return this.verifying;
  }

  handoffWay(): HandoffWay | undefined {
    return this.way;
  }

  retire(): void {}

  close(): void {
    this.closed = true;
    this.socket.close();
    this.parts.process.close();
  }

  /** Its socket file is gone or another one. Connects to it only when a socket is bound there. */
  private async verifyAgain(): Promise<boolean> {
    const { platform, identity } = this.parts;
    if (!platform.transport.isBound(identity.endpoint.path)) return false;
    const socket = watchEndpointSocket(platform, identity.endpoint.path);
    try {
      await verifyBackend(platform, { expected: identity });
    } catch (error) {
      socket.close();
      if (!isBrokerError(error)) throw error;
      return false;
    }
    if (this.closed) {
      socket.close();
      return false;
    }
    this.socket.close();
    this.socket = socket;
    return socket.isSame();
  }
}

async function identify(platform: Platform, registered: RegisteredBackend): ReturnType<typeof verifyBackend> {
  try {
    if (registered.expected === undefined) return await discoverBackend(platform, registered.endpoint);
    if (registered.expected.endpoint.path !== registered.endpoint) {
      throw new BrokerError(
        "IDENTITY_MISMATCH",
        `backend identity mismatch: ipc_endpoint is ${JSON.stringify(registered.expected.endpoint.path)}, expected ${JSON.stringify(registered.endpoint)}`,
        { details: { check: "ipc_endpoint" } },
      );
    }
    return await verifyBackend(platform, { expected: registered.expected });
  } catch (error) {
    if (!hasCode(error, "IO_FAILED", "DEADLINE_EXCEEDED")) throw error;
    throw new BrokerError(
      "BACKEND_UNREACHABLE",
      `backend endpoint ${registered.endpoint} could not be verified: ${reasonOf(error)}`,
      { details: { path: registered.endpoint }, cause: error },
    );
  }
}
