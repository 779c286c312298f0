/**
 * What earlier brokers at this endpoint left behind: gathers the evidence, lets model/classify-leftover.ts decide, and
 * carries it out. A process is signalled only through a pidfd that was opened while pid and start time were those of the
 * record, or when its environment holds the random endpoint of the launch.
 */
import { acquire, acquireAsync } from "../../base/disposal-stack.ts";
import { hasCode } from "../../base/errors.ts";
import { verifyBackend, verifyProcess } from "../../exchange/verify-backend.ts";
import { type BackendKey, keyText } from "../../model/backend-key.ts";
import type { BackendManifest } from "../../model/backend-manifest.ts";
import { classifyLeftover, type LeftoverEvidence, type LeftoverVerdict } from "../../model/classify-leftover.ts";
import { below } from "../../model/places.ts";
import type { Platform, ProcessHandle } from "../../platform/ports/index.ts";
import { type FoundRecord, findRecords, removeEndpointFiles } from "../launch/backend-records.ts";
import { endTree, launchSearch } from "../launch/kill-tree.ts";
import { SPAWN_LOCK_SUFFIX } from "../launch/spawn-lock.ts";

/** A live process of ours; the receiver owns the handle. */
export interface AdoptableBackend {
  readonly manifest: BackendManifest;
  readonly process: ProcessHandle;
  /** It gets no new client: replaced, not serving, or drained already when its broker died. */
  readonly drain: boolean;
}

export interface LeftoverHandlers {
  /** Work that takes backends of one key over; Hellos for the key wait for it. Must be called at most once per key. */
  adopting(key: BackendKey, work: (adopt: (backend: AdoptableBackend) => void) => Promise<void>): void;
  reaped(count: number): void;
  /** One that runs, but could not be looked at or taken over: no client of this broker gets it. */
  notAdopted(key: BackendKey, pid: number, error: unknown): void;
  /** What was done with one, and on what evidence. */
  classified(endpoint: string, verdict: LeftoverVerdict, evidence: LeftoverEvidence): void;
}

type ReadyRecord = Extract<FoundRecord, { kind: "ready" }>;

/** Looks at everything at once; what has to be asked is asked in the work given to `adopting`. */
export function handleLeftovers(
  platform: Platform,
  at: { readonly directories: readonly string[]; readonly brokerEndpoint: string },
  handlers: LeftoverHandlers,
): void {
  for (const directory of at.directories) releaseSpawnLocks(platform, directory);
  const groups = new Map<string, ReadyRecord[]>();
  let reaped = 0;
  for (const record of at.directories.flatMap((directory) => findRecords(platform.files, directory))) {
    if (record.kind === "ready" && record.brokerEndpoint === at.brokerEndpoint) {
      const id = keyText(record.manifest);
      groups.set(id, [...(groups.get(id) ?? []), record]);
      continue;
    }
    const evidence: LeftoverEvidence = {
      record: record.kind,
      ourBroker: record.kind !== "unreadable" && record.brokerEndpoint === at.brokerEndpoint,
      sameBoot: true,
      process: "gone",
      proof: "untried",
    };
    const verdict = classifyLeftover(evidence);
    // Of another broker, as a rule: no news.
    if (verdict === "leave") continue;
    handlers.classified(record.endpoint, verdict, evidence);
    reap(platform, record.endpoint);
    reaped++;
  }
  if (reaped > 0) handlers.reaped(reaped);
  for (const records of groups.values()) adoptGroup(platform, records, handlers);
}

/** Files of locks whose holder died; one that is held stays. */
function releaseSpawnLocks({ files, locks }: Pick<Platform, "files" | "locks">, directory: string): void {
  for (const name of files.list(directory)) {
    if (!name.endsWith(SPAWN_LOCK_SUFFIX)) continue;
    try {
      locks.tryAcquire(below(directory, name))?.release();
    } catch {
      // Not a lock file of ours; it says so to whoever needs it.
    }
  }
}

/** The backends of one key, newest first: at most one of them goes on serving. */
function adoptGroup(platform: Platform, records: readonly ReadyRecord[], handlers: LeftoverHandlers): void {
  const newestFirst = [...records].sort(
    (a, b) => b.manifest.identity.startedAtUnixMs - a.manifest.identity.startedAtUnixMs,
  );
  const [first] = newestFirst;
  if (first === undefined) return;
  const { instanceId, service, version } = first.manifest;
  handlers.adopting({ instanceId, service, version }, async (adopt) => {
    const notAdopted = ({ identity }: BackendManifest, error: unknown): undefined =>
      void handlers.notAdopted({ instanceId, service, version }, identity.pid, error);
    const looked = await Promise.all(
      newestFirst.map(({ manifest }) => look(platform, manifest).catch((error) => notAdopted(manifest, error))),
    );
    let serving = false;
    for (const found of looked) {
      if (found === undefined) continue;
      try {
        const serves = settle(platform, found, { serving, handlers, adopt });
        serving ||= serves;
      } catch (error) {
        notAdopted(found.manifest, error);
      }
    }
  });
}

/** True when it serves from now on. Consumes the process, also when it throws. */
function settle(
  platform: Platform,
  { manifest, evidence, process }: Looked,
  {
    serving,
    handlers,
    adopt,
  }: { serving: boolean; handlers: LeftoverHandlers; adopt: (backend: AdoptableBackend) => void },
): boolean {
  return acquire((held) => {
    if (process !== undefined) held.use(process);
    const verdict = classifyLeftover(evidence);
    handlers.classified(manifest.identity.endpoint.path, verdict, evidence);
    if (process === undefined) {
      if (verdict !== "leave") reap(platform, manifest.identity.endpoint.path);
      return false;
    }
    if (verdict === "leave") {
      process.close();
      return false;
    }
    const drain = verdict === "reap" || manifest.retired || serving;
    adopt({ manifest, process, drain });
    return !drain;
  });
}

interface Looked {
  readonly manifest: BackendManifest;
  readonly evidence: LeftoverEvidence;
  /** Set when it lives and is the recorded one. */
  readonly process: ProcessHandle | undefined;
}

async function look(platform: Platform, manifest: BackendManifest): Promise<Looked> {
  const sameBoot = manifest.identity.bootId === platform.host.bootId();
  const base = { record: "ready", ourBroker: true, sameBoot, proof: "untried" } as const;
  if (!sameBoot) return { manifest, evidence: { ...base, process: "gone" }, process: undefined };
  const found = openRecorded(platform, manifest);
  if (typeof found === "string") return { manifest, evidence: { ...base, process: found }, process: undefined };
  return acquireAsync(async (held) => {
    held.use(found);
    const proof = await prove(platform, manifest);
    // It may have ended, and its number may have a new owner, while it was asked.
    if (found.isAlive()) return { manifest, evidence: { ...base, process: "same", proof }, process: found };
    found.close();
    return { manifest, evidence: { ...base, process: "gone" }, process: undefined };
  });
}

/** Facts are read before and after the number is pinned: the process that is held is the one that was looked at. */
function openRecorded(
  { processes, user }: Pick<Platform, "processes" | "user">,
  manifest: BackendManifest,
): ProcessHandle | Exclude<LeftoverEvidence["process"], "same"> {
  const { pid } = manifest.identity;
  const judge = (): LeftoverEvidence["process"] => {
    const facts = processes.inspect(pid);
    if (facts === undefined) return "gone";
    if (facts.startToken !== manifest.startToken || !user.owns(facts)) return "another";
    return facts.exePath === manifest.kernelExe ? "same" : "other-program";
  };
  const before = judge();
  if (before !== "same") return before;
  return acquire((held) => {
    const handle = processes.open(pid);
    if (handle === undefined) return "gone";
    held.use(handle);
    const after = judge();
    if (after === "same") return handle;
    handle.close();
    return after;
  });
}

/** We executed it ourselves, so it may have overwritten its argument vector since. */
const LAUNCHED = { launchedHere: true } as const;

async function prove(platform: Platform, manifest: BackendManifest): Promise<LeftoverEvidence["proof"]> {
  const { identity, definition } = manifest;
  try {
    if (definition.exec.ready === "probe") await verifyBackend(platform, { expected: identity, ...LAUNCHED });
    else {
      await verifyProcess(platform, identity, LAUNCHED);
      if (!platform.transport.isBound(identity.endpoint.path)) return "closed";
    }
    return "proved";
  } catch (error) {
    if (hasCode(error, "IO_FAILED") && error.details.syscall === "connect")
      return platform.transport.isBound(identity.endpoint.path) ? "busy" : "closed";
    if (!hasCode(error, "DEADLINE_EXCEEDED")) return "refuted";
  }
  // No answer in time says nothing about who it is; the kernel does.
  try {
    await verifyProcess(platform, identity, LAUNCHED);
    return "busy";
  } catch {
    return "refuted";
  }
}

function reap(platform: Pick<Platform, "endpoints" | "files" | "processes">, endpoint: string): void {
  endTree(platform.processes, undefined, launchSearch(endpoint));
  removeEndpointFiles(platform, endpoint);
}
