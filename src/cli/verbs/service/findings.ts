/** What would go wrong if a client asked for a service now: the checks of a launch, without launching. */
import { isBrokerError } from "../../../base/errors.ts";
import { resolveBinary } from "../../../broker/internal.ts";
import { handoffAddress, LABELS } from "../../../model/exec-settings.ts";
import { backendName, brokerName, isVersion } from "../../../model/names.ts";
import { endpointPath, type PlaceInputs } from "../../../model/places.ts";
import { instanceOf, type ServiceDefinition, VERSION_PLACEHOLDER } from "../../../model/service-definition.ts";
import { judgeVersion } from "../../../model/version-policy.ts";
import type { Files, Host } from "../../../platform/ports/index.ts";

export interface Finding {
  /** `warning`: a launch would still work. */
  readonly severity: "error" | "warning";
  /** Stable word for what was looked at. */
  readonly check: "version" | "binary" | "interpreter" | "endpoint" | "label" | "cwd";
  readonly text: string;
}

export interface CheckPorts {
  readonly files: Files;
  readonly host: Host;
  readonly places: PlaceInputs;
}

/** All findings, worst first. Without `version`: for each of `versionsToCheck`. */
export function findingsOf(ports: CheckPorts, definition: ServiceDefinition, version?: string): readonly Finding[] {
  const findings = [
    ...binaryFindings(ports.files, definition, version),
    ...cwdFindings(ports.files, definition),
    ...endpointFindings(ports, definition),
    ...labelFindings(definition),
  ];
  return findings.sort((a, b) => (a.severity === b.severity ? 0 : a.severity === "error" ? -1 : 1));
}

/**
 * The versions a definition names; else those that are installed where `{version}` stands; none for a binary that is
 * the same for all versions.
 */
export function versionsToCheck(files: Files, definition: ServiceDefinition): readonly string[] {
  if (definition.versionAllowList.length > 0) return definition.versionAllowList;
  const at = definition.binaryPath.indexOf(VERSION_PLACEHOLDER);
  if (at < 0) return [];
  const directory = files.paths.dirname(definition.binaryPath.slice(0, at + 1));
  const below = directory === "/" ? 1 : directory.length + 1;
  const [before = "", after = ""] = (definition.binaryPath.slice(below).split("/")[0] ?? "").split(VERSION_PLACEHOLDER);
  return listOrNothing(files, directory)
    .filter((name) => name.startsWith(before) && name.endsWith(after) && name.length >= before.length + after.length)
    .map((name) => name.slice(before.length, name.length - after.length))
    .filter(
      (text) =>
        isVersion(text) && judgeVersion(text, { minVersion: definition.minVersion, allowList: [] }) === "allowed",
    );
}

/** Stands for every version of a binary that is the same for all. */
const ANY_VERSION = "0.0.0";

function binaryFindings(files: Files, definition: ServiceDefinition, version: string | undefined): Finding[] {
  const versions = version === undefined ? versionsToCheck(files, definition) : [version];
  if (versions.length > 0) return versions.flatMap((each) => versionFindings(files, definition, each));
  if (!definition.binaryPath.includes(VERSION_PLACEHOLDER))
    return versionFindings(files, definition, definition.minVersion || ANY_VERSION);
  return [
    {
      severity: "warning",
      check: "version",
      text: `no version is installed where ${definition.binaryPath} could find it`,
    },
  ];
}

function versionFindings(files: Files, definition: ServiceDefinition, version: string): Finding[] {
  const verdict = judgeVersion(version, { minVersion: definition.minVersion, allowList: definition.versionAllowList });
  if (verdict === "below-floor")
    return [
      { severity: "error", check: "version", text: `version ${version} is below min_version ${definition.minVersion}` },
    ];
  if (verdict === "not-listed")
    return [
      {
        severity: "error",
        check: "version",
        text: `version ${version} is none of ${definition.versionAllowList.join(", ")}`,
      },
    ];
  try {
    const { path } = resolveBinary(files, definition, version);
    return interpreterFindings(files, path);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    return [{ severity: "error", check: "binary", text: error.reason }];
  }
}

/** Without its interpreter execve fails with ENOENT, which reads as if the script itself were missing. */
function interpreterFindings(files: Files, path: string): Finding[] {
  const interpreter = files.interpreterLine(path)?.split(/[ \t]/)[0];
  if (interpreter === undefined) return [];
  const fault = interpreter === "" ? "ENOENT" : files.executableFault(interpreter);
  return fault === undefined
    ? []
    : [
        {
          severity: "error",
          check: "interpreter",
          text: `${path} names the interpreter ${JSON.stringify(interpreter)}, which cannot be run: ${fault}`,
        },
      ];
}

function cwdFindings(files: Files, definition: ServiceDefinition): Finding[] {
  const { cwd } = definition.exec;
  try {
    if (files.facts(files.realpath(cwd))?.kind === "directory") return [];
    return [{ severity: "error", check: "cwd", text: `working directory ${cwd} is not a directory` }];
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    return [
      {
        severity: "error",
        check: "cwd",
        text: `working directory ${cwd} cannot be used: ${error.details.errno ?? error.reason}`,
      },
    ];
  }
}

const BACKEND_RANDOM = new Uint8Array(16);

/** Both sockets of the service: its broker's, and one of the length every backend's has. */
function endpointFindings({ host, places }: CheckPorts, definition: ServiceDefinition): Finding[] {
  const hash = host.userHash();
  const sockets = [
    [brokerName(hash, instanceOf(definition)), undefined],
    [backendName(hash, BACKEND_RANDOM), handoffAddress(definition.handoff)],
  ] as const;
  return sockets.flatMap(([name, companion]): Finding[] => {
    try {
      endpointPath(places, name, companion);
      return [];
    } catch (error) {
      if (isBrokerError(error)) return [{ severity: "error", check: "endpoint", text: error.reason }];
      throw error;
    }
  });
}

/** Labels in a name space of ours that mean nothing to this version: typing errors, or settings of a newer one. */
function labelFindings(definition: ServiceDefinition): Finding[] {
  const spaces = new Set([...LABELS.map((row) => spaceOf(row.key)), "idle.", "handoff."]);
  const known = (key: string): boolean =>
    LABELS.some((row) => (row.key.endsWith(".") ? key.startsWith(row.key) : key === row.key));
  const names = LABELS.map((row) => (row.key.endsWith(".") ? `${row.key}NAME` : row.key)).join(", ");
  return Object.keys(definition.labels)
    .filter((key) => spaces.has(spaceOf(key)) && !known(key))
    .map((key) => ({
      severity: "warning",
      check: "label",
      text: `label ${key} means nothing to this version; known are ${names}`,
    }));
}

function spaceOf(key: string): string {
  return key.slice(0, key.indexOf(".") + 1);
}

function listOrNothing(files: Files, directory: string): readonly string[] {
  try {
    return files.list(directory);
  } catch (error) {
    if (isBrokerError(error)) return [];
    throw error;
  }
}
