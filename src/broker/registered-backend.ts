/** The one backend of registered mode: somebody else's process, verified at start and looked at on every Hello. */
import { BrokerError, hasCode, reasonOf } from "../base/errors.ts";
import { acceptsConnections } from "../exchange/accepts-connections.ts";
import { discoverBackend, verifyBackend } from "../exchange/verify-backend.ts";
import { checkVersion, instanceId } from "../model/names.ts";
import { checkVersionPolicy } from "../model/negotiate.ts";
import { instanceOf } from "../model/service-definition.ts";
import type { Platform } from "../platform/ports.ts";
import type { DefinitionStore } from "../store/definition-store.ts";
import type { Backend } from "./backend.ts";
import { createDialledWay } from "./handoff-way.ts";
import type { RegisteredBackend } from "./options.ts";

/**
 * Order of checks as in the reference (spec: server §3.1), with its limitation lifted: any process may be the backend.
 *
 * @throws BrokerError OPTION_INVALID, VERSION_INVALID, VERSION_BLOCKED, IDENTITY_MISMATCH, those of loading the definition and of the probe
 */
export async function verifyRegistered(
  platform: Platform,
  definitions: DefinitionStore,
  registered: RegisteredBackend,
): Promise<Backend> {
  if (registered.endpoint === "") throw new BrokerError("OPTION_INVALID", "backend endpoint must not be empty");
  const definition = definitions.load(registered.service);
  checkVersion("configured service version", registered.version);
  const blocked = checkVersionPolicy(definition, registered.version);
  if (blocked !== undefined)
    throw new BrokerError(
      "VERSION_BLOCKED",
      `configured service version is blocked by service-definition policy: ${blocked.reason}`,
    );
  const identity = await identify(platform, registered);
  const process = platform.processes.open(identity.pid);
  if (process === undefined)
    throw new BrokerError("PROCESS_EXITED", `backend process ${identity.pid} ended while it was being registered`, {
      details: { pid: identity.pid },
    });
  const way =
    registered.handoffEndpoint === undefined ? undefined : createDialledWay(platform, registered.handoffEndpoint);
  return {
    key: { instanceId: instanceId(instanceOf(definition)), service: registered.service, version: registered.version },
    identity,
    get state() {
      return process.isAlive() ? "running" : "absent";
    },
    lastActiveUnixMs: identity.startedAtUnixMs,
    lastHelloUnixMs: 0,
    async isServing() {
      return process.isAlive() && (await acceptsConnections(platform, identity.endpoint.path));
    },
    handoffWay: () => way,
    retire() {},
  };
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
