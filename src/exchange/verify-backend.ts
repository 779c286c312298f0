/**
 * Is the process at an endpoint the one it should be? Three witnesses must agree: the record that was expected, what
 * the endpoint itself answers to a fresh challenge, and what the kernel shows (spec: identity §4, §5).
 *
 * For a `#!` script the record names the script; the kernel must then show the interpreter of its first line as the
 * executable and the script where that line puts it in the argument vector.
 */
import type { Deadline } from "../base/clock.ts";
import { BrokerError } from "../base/errors.ts";
import { type BackendIdentity, identityDifference } from "../model/identity.ts";
import { shortened } from "../model/names.ts";
import type { Paths, Platform, ProcessFacts } from "../platform/ports/index.ts";
import { probeEndpoint } from "./probe-endpoint.ts";

export type VerifyPorts = Pick<Platform, "clock" | "transport" | "processes" | "user" | "files" | "host">;

/** @see probeEndpoint */
export interface ProbeLimits {
  readonly deadline?: Deadline | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the caller itself is witness of. */
export interface Witness {
  /**
   * We executed this file as this process ourselves. A process may overwrite its argument vector (`process.title` in
   * Node does); one that was overwritten then need not name the script any more. Default false.
   */
  readonly launchedHere?: boolean;
}

/**
 * Probes `expected.endpoint` and checks the answer against `expected` and the kernel. Returns what the backend answered.
 * The probe comes first: whoever answers has finished its exec, so the kernel's view is the final one.
 *
 * @throws BrokerError IDENTITY_MISMATCH (`details.check` names the field), PROCESS_EXITED, and what `probeEndpoint` throws
 */
export async function verifyBackend(
  platform: VerifyPorts,
  options: { expected: BackendIdentity } & ProbeLimits & Witness,
): Promise<BackendIdentity> {
  const { expected } = options;
  const { identity, listener } = await probeEndpoint(platform, expected.endpoint.path, options);
  listener?.close();
  const field = identityDifference(await withCommonHash(platform, expected, identity), identity);
  if (field !== undefined) throw mismatch(field, describe(expected, field), describe(identity, field));
  await verifyProcess(platform, expected, options);
  return identity;
}

/**
 * Asks the endpoint who it is and believes the answer only as far as the kernel confirms it: for a backend that was not
 * launched here and for which no record exists.
 *
 * @throws as `verifyBackend`
 */
export async function discoverBackend(
  platform: VerifyPorts,
  path: string,
  limits: ProbeLimits = {},
): Promise<BackendIdentity> {
  const { identity, listener } = await probeEndpoint(platform, path, limits);
  listener?.close();
  if (identity.endpoint.path !== path) throw mismatch("ipc_endpoint", path, identity.endpoint.path);
  await verifyProcess(platform, identity);
  return identity;
}

/**
 * The kernel's part: same boot, process alive, executable and its content as recorded.
 *
 * @throws BrokerError PROCESS_EXITED, IDENTITY_MISMATCH, IO_FAILED
 */
export async function verifyProcess(
  platform: Pick<Platform, "processes" | "files" | "host">,
  expected: BackendIdentity,
  witness: Witness = {},
): Promise<ProcessFacts> {
  const bootId = platform.host.bootId();
  if (expected.bootId !== "" && expected.bootId !== bootId) throw mismatch("boot_id", expected.bootId, bootId);
  const facts = platform.processes.inspect(expected.pid);
  if (facts === undefined)
    throw new BrokerError("PROCESS_EXITED", `process ${expected.pid} is not running`, {
      details: { pid: expected.pid },
    });
  checkExecutable(platform, { exePath: canonical(platform, expected.exePath), ...witness }, facts);
  await checkHashes(platform, expected);
  return facts;
}

function checkExecutable(
  platform: Pick<Platform, "files">,
  { exePath, launchedHere }: { exePath: string } & Witness,
  facts: ProcessFacts,
): void {
  if (isExecutable(facts, exePath)) return;
  const interpreter = interpreterOf(platform, exePath);
  if (interpreter === undefined) throw mismatch("exe_path", exePath, shown(facts));
  if (!runsUnder(platform, interpreter, facts)) throw mismatch("interpreter", interpreter.join(" "), shown(facts));
  const overwritten = facts.argv.slice(1).every((arg) => arg === "");
  if (launchedHere && overwritten) return;
  if (
    !facts.argv
      .slice(1, 1 + mostArguments(platform.files.paths, interpreter))
      .some((arg) => leadsTo(platform, arg, exePath))
  )
    throw mismatch("argv", exePath, facts.argv.join(" "));
}

/** A process whose file was replaced runs what nothing can be compared with any more. */
function isExecutable({ exePath, exeReplaced }: ProcessFacts, path: string): boolean {
  return exePath === path && !exeReplaced;
}

function shown({ exePath, exeReplaced }: ProcessFacts): string {
  return exeReplaced ? `${exePath} (deleted)` : exePath;
}

/** Position of the script at most: after the words of its `#!` line; env(1) itself is gone by then. */
function mostArguments(paths: Paths, interpreter: readonly string[]): number {
  return isEnv(paths, interpreter) ? interpreter.length - 1 : interpreter.length;
}

/** The script can be named through a link; what counts is where it leads. */
function leadsTo(platform: Pick<Platform, "files">, arg: string, exePath: string): boolean {
  return arg === exePath || (platform.files.paths.isAbsolute(arg) && canonical(platform, arg) === exePath);
}

function interpreterOf(platform: Pick<Platform, "files">, script: string): string[] | undefined {
  const line = platform.files.interpreterLine(script);
  return line === undefined ? undefined : line.split(/[ \t]+/).filter((word) => word !== "");
}

function isEnv(paths: Paths, [program = ""]: readonly string[]): boolean {
  return paths.basename(program) === "env";
}

/** `#!/usr/bin/env NAME` names the interpreter only by its file name; every other line by its path. */
function runsUnder(platform: Pick<Platform, "files">, interpreter: readonly string[], facts: ProcessFacts): boolean {
  const { paths } = platform.files;
  const [program = "", ...rest] = interpreter;
  if (!isEnv(paths, interpreter)) return isExecutable(facts, canonical(platform, program));
  const name = rest.find((word) => !word.startsWith("-") && !word.includes("="));
  if (name === undefined) return false;
  if (paths.isAbsolute(name)) return isExecutable(facts, canonical(platform, name));
  // sh may be a link to dash, python3 one to python3.11 in another directory.
  const beside = paths.join(paths.dirname(facts.exePath), name);
  return (
    isExecutable(facts, canonical(platform, beside)) ||
    (!facts.exeReplaced && nameMatches(name, paths.basename(facts.exePath)))
  );
}

/** python3 may lead to python3.11: the name must be the file's name up to a version suffix. */
function nameMatches(name: string, file: string): boolean {
  return file === name || (file.startsWith(name) && /^[-.\d]+$/.test(file.slice(name.length)));
}

async function checkHashes(platform: Pick<Platform, "files">, expected: BackendIdentity): Promise<void> {
  if (expected.sha256 !== undefined)
    compareHash("exe_sha256", expected.sha256, await platform.files.sha256Executable(expected.exePath));
  // One agreeing hash is proof; the slower one is computed only when it is the only one there is.
  else if (expected.blake3 !== undefined)
    compareHash("exe_hash", expected.blake3, await platform.files.blake3Executable(expected.exePath));
}

function compareHash(field: string, expected: Uint8Array, actual: Uint8Array): void {
  if (Buffer.compare(expected, actual) !== 0) throw mismatch(field, hex(expected), hex(actual));
}

/** `expected` with a hash that `answer` has too; taken from the file, which `verifyProcess` has found to be the recorded one. */
async function withCommonHash(
  platform: Pick<Platform, "files">,
  expected: BackendIdentity,
  answer: BackendIdentity,
): Promise<BackendIdentity> {
  if (answer.sha256 !== undefined)
    return expected.sha256 !== undefined
      ? expected
      : { ...expected, sha256: await platform.files.sha256Executable(expected.exePath) };
  return expected.blake3 !== undefined
    ? expected
    : { ...expected, blake3: await platform.files.blake3Executable(expected.exePath) };
}

function canonical(platform: Pick<Platform, "files">, path: string): string {
  try {
    return platform.files.realpath(path);
  } catch {
    return path;
  }
}

function hex(hash: Uint8Array | undefined): string {
  return hash === undefined ? "none" : Buffer.from(hash).toString("hex");
}

/** Of a path that a peer claims. */
const SHOWN_PATH_CHARS = 256;

function describe(identity: BackendIdentity, field: string): string {
  switch (field) {
    case "pid":
      return String(identity.pid);
    case "exe_path":
      return identity.exePath;
    case "exe_sha256":
      return hex(identity.sha256);
    case "exe_hash":
      return hex(identity.blake3);
    case "boot_id":
      return identity.bootId;
    default:
      return `${identity.endpoint.namespaceId} ${identity.endpoint.path}`;
  }
}

function mismatch(check: string, expected: string, actual: string): BrokerError {
  return new BrokerError(
    "IDENTITY_MISMATCH",
    `backend identity mismatch: ${check} is ${JSON.stringify(shortened(actual, SHOWN_PATH_CHARS))}, expected ${JSON.stringify(expected)}`,
    { details: { check } },
  );
}
