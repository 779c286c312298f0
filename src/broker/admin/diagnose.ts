/**
 * The DIAGNOSE verb: writes an archive that may be shown to others, and says what is in it (spec: admin §3.6). It holds
 * metadata only, no output of backends; home directory, secrets and identities are taken out of all of it.
 */
import { BrokerError, isBrokerError, reasonOf } from "../../base/errors.ts";
import { hash16, manifestDirectory, type PlaceInputs } from "../../model/places.ts";
import { createRedactor, SECRET_WORDS } from "../../model/redaction.ts";
import type { Env, Platform } from "../../platform/ports/index.ts";
import { bodyHead, REDACTIONS } from "./bodies.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";
import { type BundleEntry, bundleEntries, type SystemFacts } from "./diagnose-entries.ts";
import { packTarGz } from "./tar-gz.ts";

export interface DiagnoseOptions {
  readonly platform: Pick<Platform, "files" | "host">;
  readonly places: PlaceInputs;
  readonly env: Env;
  /** Where a relative output path begins. Made private when it is not there. */
  readonly directory: string;
}

export interface DiagnoseResult {
  readonly body: object;
  /** 1 when nothing was written; the body has the reason. */
  readonly exitCode: number;
}

const DEFAULT_OUTPUT = "bundle.tar.gz";
/** Names listed of the directory of manifests. */
const MAX_MANIFESTS = 1000;

/** Never rejects: whatever is in the way of the archive is said in the body. */
export async function diagnose(
  options: DiagnoseOptions,
  snapshot: BrokerSnapshot,
  outputPath: string,
): Promise<DiagnoseResult> {
  const { files, host } = options.platform;
  const machine = attempt(() => host.machineId()) ?? "";
  const stableHash = (text: string): string => hash16(`${machine}:${text}`);
  const redactor = createRedactor({ home: options.places.home, env: options.env, stableHash });
  const entries = bundleEntries(snapshot, systemFacts(options, stableHash("machine")), redactor);
  const output = files.paths.resolve(options.directory, outputPath === "" ? DEFAULT_OUTPUT : outputPath);
  try {
    checkOutput(options, outputPath, output);
    const archive = await packTarGz(entries, snapshot.nowUnixMs);
    files.writeAtomic(output, archive);
    return { body: describe(snapshot, entries, { output, sizeBytes: archive.length }), exitCode: 0 };
  } catch (error) {
    const code = isBrokerError(error) ? error.code : "INTERNAL";
    const failure = { code, message: `no archive was written: ${reasonOf(error)}` };
    return { body: { ...describe(snapshot, entries, { output }), error: failure }, exitCode: 1 };
  }
}

/** Replacing by rename would do away with a device or a socket as readily as with an older archive. */
function checkOutput({ platform, directory }: DiagnoseOptions, asked: string, output: string): void {
  if (asked.includes("\0")) throw new BrokerError("OPTION_INVALID", "the output path holds a NUL byte");
  if (!asked.startsWith("/")) platform.files.ensurePrivateDirectory(directory);
  const there = platform.files.facts(output);
  if (there !== undefined && there.kind !== "file")
    throw new BrokerError("OPTION_INVALID", `there is something at ${output} that is no file`, {
      details: { path: output },
    });
}

function describe(
  { nowUnixMs }: BrokerSnapshot,
  entries: readonly BundleEntry[],
  { output, sizeBytes }: { output: string; sizeBytes?: number },
): object {
  return {
    ...bodyHead("diagnose", { nowUnixMs }),
    output,
    bundle: {
      format: "tar.gz",
      mode: "metadata-only",
      created: sizeBytes !== undefined,
      ...(sizeBytes !== undefined && { size_bytes: sizeBytes }),
      entries: entries.map(({ path, kind, source, required, redacted, recordCount, content }) => ({
        path,
        kind,
        source,
        required,
        redacted,
        ...(recordCount !== undefined && { record_count: recordCount }),
        size_bytes: content.length,
      })),
    },
    files: entries.map(({ path }) => path),
    redactions: REDACTIONS,
    redaction_policy: [
      { name: "home", replacement: "~" },
      { name: "secret-env", matches: SECRET_WORDS },
      { name: "acl-identities", replacement: "stable-hash" },
    ],
  };
}

function systemFacts({ platform: { files, host }, places, env }: DiagnoseOptions, machine: string): SystemFacts {
  const directory = manifestDirectory(places);
  return {
    os: host.os,
    machine,
    descriptors: attempt(() => host.descriptorUsage()),
    env,
    manifests: {
      directory,
      files: (attempt(() => files.list(directory)) ?? [])
        .filter((name) => name.endsWith(".pb"))
        .slice(0, MAX_MANIFESTS)
        .map((name) => ({
          name,
          size_bytes: attempt(() => Number(files.facts(files.paths.join(directory, name))?.size ?? 0)) ?? 0,
        })),
    },
  };
}

/** Diagnostics are asked for when something is broken: what cannot be found out is left out. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
