/**
 * A service definition: which binary serves a service, in which versions, under which broker. The bytes are the frozen
 * protobuf message; ServiceDefinition here is its validated, immutable form.
 */
import { posix } from "node:path";
import { BrokerError } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { BrokerIsolation, ServiceDefinitionSchema } from "../wire/messages.ts";
import {
  type ExecSettings,
  type HandoffSettings,
  parseExecSettings,
  parseHandoffSettings,
  parseIdleTimeout,
} from "./exec-settings.ts";
import { checkName, checkVersion, type Instance } from "./names.ts";

export const DEFINITION_SUFFIX = ".servicedef";
/** In `binaryPath`: replaced by the wanted version. */
export const VERSION_PLACEHOLDER = "{version}";

export type Isolation = "private" | "shared" | "explicit";

export interface ServiceDefinition {
  readonly serviceName: string;
  readonly binaryPath: string;
  readonly isolation: Isolation;
  /** Empty unless isolation is explicit. */
  readonly explicitInstance: string;
  /** Allow root; empty means: not launchable. */
  readonly perVersionBinaryDir: string;
  readonly minVersion: string;
  readonly versionAllowList: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly exec: ExecSettings;
  readonly handoff: HandoffSettings;
  /** Milliseconds without use until the backend is asked to end; absent: the default. */
  readonly idleTimeoutMs?: number | "never";
}

/** What a builder starts from; everything but the first two is optional. */
export interface ServiceDefinitionInit {
  readonly serviceName: string;
  readonly binaryPath: string;
  readonly isolation?: Isolation;
  readonly explicitInstance?: string;
  readonly perVersionBinaryDir?: string;
  readonly minVersion?: string;
  readonly versionAllowList?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

const WIRE_ISOLATION: Record<Isolation, BrokerIsolation> = {
  private: BrokerIsolation.PRIVATE_BROKER,
  shared: BrokerIsolation.SHARED_BROKER,
  explicit: BrokerIsolation.EXPLICIT_INSTANCE,
};

/** What both forms share; the isolation still has its wire number. */
type Fields = Omit<ServiceDefinitionInit, "isolation">;

/**
 * Validates in the order of the spec (wire §4): requested name, declared name, their equality, binary path, allow root,
 * floor, allow-list, isolation; then our labels.
 *
 * @throws BrokerError NAME_INVALID, VERSION_INVALID, DEFINITION_INVALID
 */
export function createServiceDefinition(init: ServiceDefinitionInit, requestedName?: string): ServiceDefinition {
  return validated(init, WIRE_ISOLATION[init.isolation ?? "private"], requestedName);
}

function validated(init: Fields, wireIsolation: BrokerIsolation, requestedName: string | undefined): ServiceDefinition {
  if (requestedName !== undefined) checkName("requested service name", requestedName);
  checkName("service name", init.serviceName);
  if (requestedName !== undefined && requestedName !== init.serviceName) {
    throw new BrokerError(
      "DEFINITION_INVALID",
      `service-definition requested ${JSON.stringify(requestedName)} but file declares ${JSON.stringify(init.serviceName)}`,
      { details: { check: "service_name" } },
    );
  }
  checkAbsolute("binary_path", init.binaryPath, { required: true });
  checkAbsolute("per_version_binary_dir", init.perVersionBinaryDir ?? "", { required: false });
  if (init.minVersion) checkVersion("min_version", init.minVersion);
  for (const version of init.versionAllowList ?? []) checkVersion("version_allow_list entry", version);
  const isolation = isolationOf(wireIsolation);
  checkIsolation(isolation, init.explicitInstance ?? "");
  const labels = { ...init.labels };
  const idleTimeoutMs = parseIdleTimeout(labels);
  return {
    serviceName: init.serviceName,
    binaryPath: init.binaryPath,
    isolation,
    explicitInstance: init.explicitInstance ?? "",
    perVersionBinaryDir: init.perVersionBinaryDir ?? "",
    minVersion: init.minVersion ?? "",
    versionAllowList: [...(init.versionAllowList ?? [])],
    labels,
    exec: parseExecSettings(labels),
    handoff: parseHandoffSettings(labels),
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
  };
}

/**
 * @throws BrokerError MESSAGE_MALFORMED, and what `createServiceDefinition` throws
 */
export function decodeServiceDefinition(bytes: Uint8Array, requestedName?: string): ServiceDefinition {
  const message = decodeMessage(ServiceDefinitionSchema, bytes);
  return validated(message, message.isolation, requestedName);
}

/** The bytes of the `.servicedef` file; label order is alphabetical, so equal definitions have equal bytes. */
export function encodeServiceDefinition(definition: ServiceDefinition): Uint8Array {
  const labels = Object.fromEntries(Object.entries(definition.labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  return encodeMessage(ServiceDefinitionSchema, {
    serviceName: definition.serviceName,
    binaryPath: definition.binaryPath,
    isolation: WIRE_ISOLATION[definition.isolation],
    explicitInstance: definition.explicitInstance,
    perVersionBinaryDir: definition.perVersionBinaryDir,
    minVersion: definition.minVersion,
    versionAllowList: [...definition.versionAllowList],
    labels,
  });
}

export function instanceOf(definition: ServiceDefinition): Instance {
  switch (definition.isolation) {
    case "shared":
      return { kind: "shared" };
    case "private":
      return { kind: "private", service: definition.serviceName };
    case "explicit":
      return { kind: "explicit", name: definition.explicitInstance };
  }
}

/** The binary path for one version. `version` must have passed the version grammar, which keeps it free of separators. */
export function binaryPathFor(definition: ServiceDefinition, version: string): string {
  return definition.binaryPath.replaceAll(VERSION_PLACEHOLDER, () => version);
}

function isolationOf(wire: BrokerIsolation): Isolation {
  for (const [name, number] of Object.entries(WIRE_ISOLATION)) if (number === wire) return name as Isolation;
  throw new BrokerError("DEFINITION_INVALID", `service-definition isolation is invalid: unknown value ${wire}`, {
    details: { check: "isolation" },
  });
}

function checkIsolation(isolation: Isolation, explicitInstance: string): void {
  if (isolation !== "explicit") {
    if (explicitInstance !== "")
      throw new BrokerError(
        "DEFINITION_INVALID",
        `service-definition isolation is invalid: explicit_instance must be empty for ${isolation} isolation, got ${JSON.stringify(explicitInstance)}`,
        { details: { check: "isolation" } },
      );
    return;
  }
  if (explicitInstance === "")
    throw new BrokerError(
      "DEFINITION_INVALID",
      "service-definition isolation is invalid: explicit_instance is required for explicit isolation",
      { details: { check: "isolation" } },
    );
  checkName("explicit_instance", explicitInstance);
}

function checkAbsolute(field: string, value: string, rule: { required: boolean }): void {
  if (value === "") {
    if (rule.required)
      throw new BrokerError("DEFINITION_INVALID", `service-definition ${field} is invalid: "" (must not be empty)`, {
        details: { check: field },
      });
    return;
  }
  if (!posix.isAbsolute(value) || value.includes("\0"))
    throw new BrokerError(
      "DEFINITION_INVALID",
      `service-definition ${field} is invalid: ${JSON.stringify(value)} (must be absolute)`,
      { details: { check: field } },
    );
}
