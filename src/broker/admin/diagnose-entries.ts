/**
 * What is in a diagnostics archive: the frozen table of entries (spec: admin §3.6) and the content of each. Only fields that
 * `archive-fields.ts` lets in are there; the redactor then takes home, secrets and identities out of their values.
 */
import { VERSION } from "../../base/version.ts";
import { renderOpenMetrics } from "../../model/open-metrics.ts";
import type { Redactor } from "../../model/redaction.ts";
import { selectFields } from "../../model/select-fields.ts";
import type { Env } from "../../platform/ports/index.ts";
import {
  archivedEnvironment,
  archivedEvent,
  CONFIG_FIELDS,
  DUMP_FIELDS,
  MANIFEST_FIELDS,
  STATUS_FIELDS,
} from "./archive-fields.ts";
import { renderConfig, renderDump } from "./bodies.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";
import { backendState, renderStatusJson } from "./status-body.ts";

/** What the snapshot of a broker does not know. */
export interface SystemFacts {
  readonly os: string;
  /** Hashed before it gets here. */
  readonly machine: string;
  readonly descriptors: { readonly open: number; readonly limit: number } | undefined;
  readonly env: Env;
  /** Files in the directory of cache manifests. */
  readonly manifests: { readonly directory: string; readonly files: readonly { name: string; size_bytes: number }[] };
}

export interface BundleEntry {
  readonly path: string;
  readonly kind: "json" | "jsonl" | "openmetrics";
  readonly source: string;
  readonly required: boolean;
  /** Is the policy expected to find something in it? It is applied to every entry. Frozen. */
  readonly redacted: boolean;
  readonly recordCount?: number;
  readonly content: Uint8Array;
}

/** Of one entry; what is more is left out, of events the oldest. */
export const MAX_ENTRY_BYTES = 4 * 1024 * 1024;
/** In the dump, where the size of one part must not cost the others; the log of events has all. */
const EVENTS_IN_DUMP = 50;

type Content = { readonly json: unknown } | { readonly rows: readonly unknown[] } | { readonly text: string };

interface EntryRow extends Omit<BundleEntry, "content" | "recordCount"> {
  readonly make: (snapshot: BrokerSnapshot, system: SystemFacts) => Content;
  readonly count?: (snapshot: BrokerSnapshot) => number;
}

const ENTRIES: readonly EntryRow[] = [
  {
    path: "admin/status.json",
    kind: "json",
    source: "status",
    required: true,
    redacted: false,
    make: (snapshot) => ({ json: selectFields(renderStatusJson(snapshot), STATUS_FIELDS) }),
  },
  {
    path: "admin/dump.json",
    kind: "json",
    source: "dump",
    required: true,
    redacted: true,
    make: (snapshot) => ({ json: archivedDump(snapshot) }),
  },
  {
    path: "config/effective.json",
    kind: "json",
    source: "effective-config",
    required: true,
    redacted: false,
    make: (snapshot) => ({ json: selectFields(renderConfig(snapshot), CONFIG_FIELDS) }),
  },
  {
    path: "metrics/openmetrics.txt",
    kind: "openmetrics",
    source: "metrics",
    required: true,
    redacted: false,
    make: (snapshot) => ({ text: renderOpenMetrics(snapshot.metrics()) }),
  },
  {
    path: "events/lifecycle.jsonl",
    kind: "jsonl",
    source: "lifecycle-events",
    required: false,
    redacted: true,
    make: (snapshot) => ({ rows: snapshot.events().map(archivedEvent) }),
  },
  {
    path: "manifest/backend-manifests.json",
    kind: "json",
    source: "backend-manifest-index",
    required: false,
    redacted: true,
    make: (_, { manifests }) => ({ json: selectFields(manifests, MANIFEST_FIELDS) }),
  },
  {
    path: "process/backends.json",
    kind: "json",
    source: "backend-table",
    required: true,
    redacted: true,
    count: (snapshot) => snapshot.backends.length,
    make: (snapshot) => ({ json: { backends: snapshot.backends.map((backend) => backendRow(snapshot, backend)) } }),
  },
  {
    path: "system/summary.json",
    kind: "json",
    source: "host-summary",
    required: false,
    redacted: true,
    make: (snapshot, system) => ({ json: summary(snapshot, system) }),
  },
];

function archivedDump(snapshot: BrokerSnapshot): object {
  const events = snapshot.events().slice(-EVENTS_IN_DUMP);
  return {
    ...(selectFields(renderDump({ ...snapshot, events: () => [] }), DUMP_FIELDS) as object),
    recent_lifecycle_events: events.map(archivedEvent),
  };
}

/** Every entry, redacted, in the frozen order. */
export function bundleEntries(snapshot: BrokerSnapshot, system: SystemFacts, redactor: Redactor): BundleEntry[] {
  return ENTRIES.map(({ make, count, ...row }) => ({
    ...row,
    ...(count !== undefined && { recordCount: count(snapshot) }),
    content: Buffer.from(render(make(snapshot, system), redactor)),
  }));
}

function render(content: Content, redactor: Redactor): string {
  if ("rows" in content) return renderRows(content.rows, redactor);
  const text =
    "text" in content ? redactor.text(content.text) : `${JSON.stringify(redactor.value(content.json), null, 2)}\n`;
  const bytes = Buffer.byteLength(text);
  return bytes <= MAX_ENTRY_BYTES ? text : `${JSON.stringify({ left_out: "too large", size_bytes: bytes })}\n`;
}

/** The newest that fit; a first line says how many did not. */
function renderRows(rows: readonly unknown[], redactor: Redactor): string {
  const lines: string[] = [];
  let bytes = 0;
  for (const row of rows.toReversed()) {
    const line = `${JSON.stringify(redactor.value(row))}\n`;
    bytes += Buffer.byteLength(line);
    if (bytes > MAX_ENTRY_BYTES) break;
    lines.push(line);
  }
  const leftOut = rows.length - lines.length;
  if (leftOut > 0) lines.push(`${JSON.stringify({ left_out: leftOut })}\n`);
  return lines.reverse().join("");
}

function backendRow(snapshot: BrokerSnapshot, backend: BrokerSnapshot["backends"][number]): object {
  const { key, identity } = backend;
  const record = snapshot.health.find((row) => row.key.service === key.service && row.key.version === key.version);
  return {
    broker_instance: key.instanceId,
    service_name: key.service,
    service_version: key.version,
    pid: identity.pid,
    state: backendState(backend),
    backend_pipe: identity.endpoint.path,
    exe_path: identity.exePath,
    exe_sha256: identity.sha256 === undefined ? null : Buffer.from(identity.sha256).toString("hex"),
    started_at_unix_ms: identity.startedAtUnixMs,
    last_hello_unix_ms: backend.lastHelloUnixMs,
    // Its text may quote what others wrote.
    last_error: record?.lastErrorCode ?? null,
  };
}

function summary(snapshot: BrokerSnapshot, { os, machine, descriptors, env }: SystemFacts): object {
  return {
    package_version: VERSION,
    os,
    machine,
    uptime_seconds: Math.round(snapshot.uptimeMs) / 1000,
    descriptors: descriptors && {
      open: descriptors.open,
      // JSON has no infinity.
      limit: Number.isFinite(descriptors.limit) ? descriptors.limit : null,
    },
    environment: archivedEnvironment(env),
  };
}
