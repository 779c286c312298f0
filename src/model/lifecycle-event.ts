/**
 * One thing that happened to a broker or a backend, as one line of JSON (spec: server §16). The fields are those of the
 * frozen LifecycleEvent message under their own names, so the line is also its protobuf JSON form; fields that hold
 * nothing are left out.
 *
 * Invariant: a line has at most 512 bytes, its end included, whatever goes in, and so has the message it stands for. One
 * write(2) of it is whole, and every line can be read without those around it.
 */
import { jsonLine } from "../base/printable.ts";
import { MAX_LIFECYCLE_EVENT_BYTES } from "../wire/limits.ts";

export interface EventKindRow {
  /** Frozen. */
  readonly number: number;
  /** When this broker writes it; undefined: nothing here does. */
  readonly when?: string;
}

/** Frozen names and numbers; 21 to 50 are reserved. */
export const EVENT_KINDS = {
  EVENT_KIND_UNSPECIFIED: { number: 0, when: "whatever has no kind of its own; `extra.type` says what" },
  SPAWN_ATTEMPT: { number: 1, when: "a launch begins" },
  SPAWN: { number: 2, when: "a launched backend has proved itself and is handed out" },
  DIED_IDLE: { number: 3, when: "a backend ended because nobody used it, or by itself with status 0" },
  DIED_SHUTDOWN: { number: 4, when: "a backend ended that had been asked to, or whose launch was cut short" },
  DIED_CRASH: { number: 5, when: "a backend ended in any other way, also before it was ready" },
  VERSION_MISMATCH: { number: 6, when: "a Hello was refused for its version" },
  REPLACED_BY_NEWER: { number: 7, when: "a backend takes no new client because its binary or definition changed" },
  HELLO_ACCEPTED: { number: 8, when: "a Hello got an endpoint, or its connection was handed over" },
  HELLO_REFUSED: { number: 9, when: "a Hello, or what was to be one, was refused for any other reason" },
  SERVICE_DEF_LOADED: { number: 10, when: "a definition is used for the first time by this broker" },
  SERVICE_DEF_CHANGED: { number: 11, when: "a definition means something else than before" },
  BROADCAST_SENT: { number: 12 },
  BROADCAST_ACK: { number: 13 },
  BROADCAST_TIMEOUT: { number: 14 },
  PROTOCOL_DOWNGRADE: { number: 15, when: "a client that offered to be handed over has to reconnect" },
  CACHE_CORRUPTION_DETECTED: { number: 16 },
  RESOURCE_PRESSURE: { number: 17, when: "descriptors ran out, or are there again; a log cannot be written" },
  SECURITY_VIOLATION: {
    number: 18,
    when: "another user connected; a launched process is not the binary that was meant",
  },
  TEARDOWN_HOOK_FAILED: { number: 19 },
  MANIFEST_REWRITTEN: { number: 20 },
} as const satisfies Record<string, EventKindRow>;

export type EventKind = keyof typeof EVENT_KINDS;

/** OpenTelemetry's numbers. */
export const SEVERITIES = { DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17 } as const;

export type Severity = keyof typeof SEVERITIES;

export interface LifecycleEvent {
  /** Wall clock, milliseconds since 1970 UTC. */
  readonly tsMs: number;
  /** The process it is about: a backend, or the peer of a Hello. 0: none. */
  readonly pid: number;
  readonly service: string;
  readonly kind: EventKind;
  /** For people. */
  readonly reason: string;
  /** For programs. Entries in front are the last to be left out when room is short. */
  readonly extra: Readonly<Record<string, string>>;
  readonly severity: Severity;
  readonly requestId: string;
  /** 0: none. */
  readonly connectionId: number;
  readonly instance: string;
}

/** What names and ids may take; names within their grammar fit. */
const LIMITS = { service: 64, requestId: 24, instance: 76, key: 24 } as const;
/** A raw quote cannot be inside a JSON text, so this is where a record begins and nothing else. */
const BEGIN = '{"ts_ms":';
const CUT = "…";
const CUT_BYTES = Buffer.byteLength(CUT);

/** The line, with its end. */
export function encodeLifecycleEvent(event: LifecycleEvent): string {
  const connectionId = whole(event.connectionId, Number.MAX_SAFE_INTEGER);
  const head = [
    `${BEGIN}${whole(event.tsMs, Number.MAX_SAFE_INTEGER)}`,
    ...field("pid", whole(event.pid, 0xffff_ffff)),
    ...textField("service_name", event.service, LIMITS.service),
    `"kind":"${event.kind}"`,
  ].join(",");
  const tail = [
    `"severity_number":${SEVERITIES[event.severity]}`,
    `"severity_text":"${event.severity}"`,
    ...textField("request_id", event.requestId, LIMITS.requestId),
    ...field("connection_id", connectionId),
    ...textField("broker_instance", event.instance, LIMITS.instance),
  ].join(",");
  const frame = `${head},"reason":"","extra":{},${tail}}\n`;
  const room = MAX_LIFECYCLE_EVENT_BYTES - Buffer.byteLength(frame);
  const reserved = Math.min(
    Buffer.byteLength(escapeText(event.reason.slice(0, MAX_LIFECYCLE_EVENT_BYTES))),
    Math.ceil(room / 2),
  );
  const extra = extras(event.extra, room - reserved);
  const reason = fit(event.reason, room - Buffer.byteLength(extra));
  const middle = [...(reason === "" ? [] : [`"reason":"${reason}"`]), ...(extra === "" ? [] : [`"extra":{${extra}}`])];
  return `${[head, ...middle, tail].join(",")}}\n`;
}

/**
 * The record in a line; undefined for lines that are torn, not ours, or of a kind this version does not know. A record
 * that follows a torn one on the same line is found.
 */
export function decodeLifecycleEvent(line: string): LifecycleEvent | undefined {
  const begin = line.lastIndexOf(BEGIN);
  if (begin < 0) return undefined;
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line.slice(begin)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { kind, ts_ms: tsMs } = value;
  if (typeof kind !== "string" || !Object.hasOwn(EVENT_KINDS, kind)) return undefined;
  if (typeof tsMs !== "number" || !Number.isSafeInteger(tsMs) || tsMs < 0) return undefined;
  return {
    tsMs,
    pid: count(value.pid),
    service: text(value.service_name),
    kind: kind as EventKind,
    reason: text(value.reason),
    extra: textMap(value.extra),
    severity: severityOf(count(value.severity_number)),
    requestId: text(value.request_id),
    connectionId: count(value.connection_id),
    instance: text(value.broker_instance),
  };
}

function field(name: string, value: number): string[] {
  return value === 0 ? [] : [`"${name}":${value}`];
}

function textField(name: string, value: string, maxBytes: number): string[] {
  return value === "" ? [] : [`"${name}":"${fit(value, maxBytes)}"`];
}

function extras(extra: Readonly<Record<string, string>>, room: number): string {
  const entries: string[] = [];
  let used = 0;
  for (const [key, value] of Object.entries(extra)) {
    // What is for programs is whole or not there.
    if (key.length > LIMITS.key || value.length > MAX_LIFECYCLE_EVENT_BYTES) continue;
    const entry = `${entries.length === 0 ? "" : ","}"${escapeText(key)}":"${escapeText(value)}"`;
    const bytes = Buffer.byteLength(entry);
    if (used + bytes > room) continue;
    entries.push(entry);
    used += bytes;
  }
  return entries.join("");
}

/** The inside of a JSON text of at most `maxBytes`; what is cut ends in an ellipsis. */
function fit(value: string, maxBytes: number): string {
  if (value.length <= maxBytes) {
    const content = escapeText(value);
    if (Buffer.byteLength(content) <= maxBytes) return content;
  }
  let kept = "";
  let left = maxBytes - CUT_BYTES;
  if (left < 0) return "";
  for (const character of value) {
    const content = escapeText(character);
    left -= Buffer.byteLength(content);
    if (left < 0) break;
    kept += content;
  }
  return kept + CUT;
}

/** The inside of a JSON text. */
function escapeText(value: string): string {
  return jsonLine(value).slice(1, -1);
}

function whole(value: number, most: number): number {
  return Number.isFinite(value) ? Math.min(Math.max(0, Math.trunc(value)), most) : 0;
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textMap(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function severityOf(number: number): Severity {
  if (number >= SEVERITIES.ERROR) return "ERROR";
  if (number >= SEVERITIES.WARN) return "WARN";
  return number >= SEVERITIES.INFO ? "INFO" : "DEBUG";
}
