/**
 * Writes the generated parts of docs/protocol.md and docs/operations.md from the tables in the code; with `--check` it
 * only compares and exits 1 when a part is stale. A part lies between `<!-- generated:NAME -->` and `<!-- /generated -->`.
 *
 *   node --import tsx scripts/protocol-doc.ts [--check]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ERROR_TABLE, type ErrorRow } from "../src/base/errors.ts";
import { METRIC_PREFIX, METRICS } from "../src/broker/events/metric-table.ts";
import { encodeRefused } from "../src/broker/hello/refused-reply.ts";
import { LABELS } from "../src/model/exec-settings.ts";
import { EVENT_KINDS, type EventKindRow } from "../src/model/lifecycle-event.ts";
import { refuse } from "../src/model/refusal.ts";
import { CAPABILITY, type CapabilityName, formatCapabilities } from "../src/wire/capabilities.ts";
import { decodeMessage, encodeMessage } from "../src/wire/codec.ts";
import { encodeAnnounce } from "../src/wire/control.ts";
import { decodeFrame, encodeRequest, encodeResponse } from "../src/wire/envelope.ts";
import { FRAME_HEADER, FRAME_HEADER_BYTES } from "../src/wire/framing.ts";
import * as limits from "../src/wire/limits.ts";
import { HelloSchema } from "../src/wire/messages.ts";
import {
  formatProtocol,
  isConsumerProtocol,
  PAYLOAD_PROTOCOL,
  REGISTERED_CONSUMERS,
} from "../src/wire/payload-protocol.ts";
import { PRIVATE_CAPABILITY_BITS, PRIVATE_NUMBERS } from "../src/wire/private-numbers.ts";
import { ErrorCodeSchema } from "../test/support/descriptors.ts";
import { frozenSchema } from "./frozen-schema.ts";
import { type Parts, table, withParts } from "./generated-parts.ts";

const COMMAND = "node --import tsx scripts/protocol-doc.ts";

const PROTOCOL_ABOUT: Readonly<Record<keyof typeof PAYLOAD_PROTOCOL, string>> = {
  control: "Hello and HelloReply; control messages",
  admin: "admin verbs",
  probe: "identity probe of a backend",
  handoff: "offer, acknowledgement and ready event of a handoff",
};

const CAPABILITY_ABOUT: Readonly<Record<CapabilityName, string>> = {
  handlePassing: "client: takes its connection over when it was handed to the backend; broker: will hand it over",
  handoffDirect:
    "ours: the client keeps the connection without a ready event and may send behind its Hello; only together with bit 0",
  handoffReply:
    "ours, a backend's announcement only: writes an offer's `client_reply` to the client, which direct mode needs",
};

/** Vectors shown in the worked example, with what they are. */
const EXAMPLES: readonly (readonly [name: string, about: string])[] = [
  ["derived_client_hello_wire", "Hello of a client: service zccache, version 1.11.20"],
  ["derived_probe_request_wire", "Probe with the nonce 00 01 … 1f"],
  ["derived_handoff_offer_unix_wire", "HandoffOffer, correlation id 7"],
  ["derived_handoff_ack_wire", "HandoffAck, accepted"],
  ["derived_handoff_ready_wire", "The event to a v1 client"],
  ["derived_consumer_ping_wire", 'Request "ping" of protocol 0x7A63'],
  ["derived_consumer_pong_wire", 'Its response "pong"'],
];

const PARTS: Readonly<Record<string, Parts>> = {
  "docs/protocol.md": {
    "frame-header": frameHeader,
    limits: limitTable,
    "private-numbers": privateNumbers,
    "payload-protocols": payloadProtocols,
    capabilities,
    refusals,
    "by-hand": byHand,
    announce: () => fenced(hexLines(encodeAnnounce(CAPABILITY.handlePassing | CAPABILITY.handoffReply))),
    examples,
  },
  "docs/operations.md": { labels, metrics, "event-kinds": eventKinds },
};

for (const [name, parts] of Object.entries(PARTS)) {
  const file = fileURLToPath(new URL(`../${name}`, import.meta.url));
  const current = readFileSync(file, "utf8");
  const wanted = withParts(name, current, parts, COMMAND);
  if (current === wanted) continue;
  if (process.argv.includes("--check")) {
    console.error(`${name} is not what the code says; write it anew with: ${COMMAND}`);
    process.exitCode = 1;
  } else writeFileSync(file, wanted);
}

// ------------------------------------------------------------------------------------------------ parts

function frameHeader(): string {
  const rows = FRAME_HEADER.map(({ name, offset, size, about }) => [String(offset), String(size), name, about]);
  return table("> Offset|> Size|Content|Rule", [...rows, [String(FRAME_HEADER_BYTES), "N", "body", "N is the length"]]);
}

/** The comments beside the constants are the descriptions; the values are those that the code runs with. */
function limitTable(): string {
  const source = readFileSync(new URL("../src/wire/limits.ts", import.meta.url), "utf8");
  const abouts = new Map(
    [...source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*export const (\w+)/g)].map(([, about = "", name = ""]) => [
      name,
      about.replace(/\s*\n \* ?/g, " ").trim(),
    ]),
  );
  const rows = [...abouts].map(([name, about]) => {
    const value: unknown = (limits as Readonly<Record<string, unknown>>)[name];
    if (typeof value !== "number" && typeof value !== "bigint") throw new Error(`limit ${name} has no number`);
    return [`\`${name}\``, String(value).replace(/\B(?=(\d{3})+$)/g, " "), about];
  });
  if (rows.length !== Object.keys(limits).length) throw new Error("a limit of src/wire/limits.ts has no comment");
  return table("Limit|> Value|Meaning", rows);
}

function privateNumbers(): string {
  const { first, last } = PRIVATE_NUMBERS;
  const numbers = frozenSchema().flatMap(({ name, kind, members }) =>
    members
      .filter(({ number }) => number >= first && number <= last)
      .map((member) => [
        `${name}, ${kind === "enum" ? "value" : "field"}`,
        `\`${member.name}\``,
        String(member.number),
      ]),
  );
  const bits = capabilityRows()
    .filter(([bit]) => Number(bit) >= PRIVATE_CAPABILITY_BITS.first)
    .map(([bit = "", , name = ""]) => ["capability bit", `\`${name}\``, bit]);
  return [
    table("Where|First|Last", [
      ["fields of every message, values of every enum", String(first), String(last)],
      ["capability bits", String(PRIVATE_CAPABILITY_BITS.first), String(PRIVATE_CAPABILITY_BITS.last)],
    ]),
    "",
    "Taken:",
    "",
    table("Where|Name|> Number", [...numbers, ...bits]),
  ].join("\n");
}

function payloadProtocols(): string {
  const assigned = Object.entries(PAYLOAD_PROTOCOL).map(([name, protocol]): [number, string] => [
    protocol,
    PROTOCOL_ABOUT[name as keyof typeof PAYLOAD_PROTOCOL],
  ]);
  const consumers = Object.entries(REGISTERED_CONSUMERS).map(([name, protocol]): [number, string] => [
    protocol,
    `registered consumer ${name}`,
  ]);
  const rows = [...assigned, ...consumers].sort(([a], [b]) => a - b);
  return [
    table(
      "Number|Use",
      rows.map(([protocol, about]) => [formatProtocol(protocol), about]),
    ),
    "",
    `Numbers for consumers: ${consumerRanges().join(", ")}; the first range is for registered ones, the last for private use and tests. All others are reserved.`,
  ].join("\n");
}

function consumerRanges(): string[] {
  const ranges: string[] = [];
  for (let protocol = 0; protocol <= 0xffff; protocol++) {
    if (!isConsumerProtocol(protocol)) continue;
    const from = protocol;
    while (protocol < 0xffff && isConsumerProtocol(protocol + 1)) protocol++;
    ranges.push(`${formatProtocol(from)} to ${formatProtocol(protocol)}`);
  }
  return ranges;
}

function capabilities(): string {
  return table("> Bit|> Value|Name|Meaning", capabilityRows());
}

function capabilityRows(): string[][] {
  return (Object.entries(CAPABILITY) as [CapabilityName, bigint][]).map(([name, bit]) => [
    String(bit.toString(2).length - 1),
    `0x${bit.toString(16)}`,
    /\[(.*)\]/.exec(formatCapabilities(bit))?.[1] ?? name,
    CAPABILITY_ABOUT[name],
  ]);
}

function refusals(): string {
  const rows = Object.entries<ErrorRow>(ERROR_TABLE)
    .filter(([, row]) => row.wire !== undefined)
    .map(([code, row]) => {
      const wireName = ErrorCodeSchema.values.find((value) => value.number === row.wire)?.name;
      if (wireName === undefined) throw new Error(`ErrorCode has no number ${row.wire}`);
      return [String(row.wire), `\`${wireName}\``, `\`${code}\``, row.retry, row.about];
    });
  return table("> #|ErrorCode|Code of ours|Retry|Meaning", rows);
}

function examples(): string {
  const blocks = EXAMPLES.map(([name, about]) => `${about} (\`${name}\`):\n\n${fenced(hexLines(vector(name)))}`);
  return blocks.join("\n\n");
}

function vector(name: string): Buffer {
  const file = new URL("../test/fixtures/golden-vectors.json", import.meta.url);
  const vectors = JSON.parse(readFileSync(file, "utf8")) as { name: string; hex: string }[];
  const found = vectors.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no golden vector ${name}`);
  return Buffer.from(found.hex, "hex");
}

/** What a reader can send to a broker, and the whole answer where it is always the same. */
function byHand(): string {
  const hello = vector("derived_client_hello_wire");
  const frame = decodeFrame(hello.subarray(FRAME_HEADER_BYTES));
  const payload = encodeMessage(HelloSchema, { ...decodeMessage(HelloSchema, frame.payload), peerPid: 0 });
  const anonymous = encodeRequest({ payloadProtocol: PAYLOAD_PROTOCOL.control, payload, requestId: frame.requestId });
  const refused = encodeResponse(frame, {
    payloadProtocol: PAYLOAD_PROTOCOL.control,
    payload: encodeRefused(refuse("PEER_REJECTED", "peer_pid does not match verified peer")),
  });
  return [
    "STATUS as JSON (`derived_admin_status_json_wire`). The answer's frame holds it as plain text:",
    fenced(sendLines(vector("derived_admin_status_json_wire"))),
    "The Hello below (`derived_client_hello_wire`). It says that process 4242 sends it, and the kernel knows better:",
    fenced(sendLines(hello)),
    "The answer is Refused 6:",
    fenced(hexLines(refused)),
    "The same Hello without `peer_pid`. It is Refused 2, or the service zccache is launched:",
    fenced(sendLines(anonymous)),
  ].join("\n\n");
}

/** A shell command that writes the bytes to a socket and shows what comes back. */
function sendLines(bytes: Uint8Array): string {
  const pairs = [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`);
  const lines: string[] = [];
  for (let at = 0; at < pairs.length; at += 24) lines.push(`  printf '${pairs.slice(at, at + 24).join("")}'`);
  return `{\n${lines.join("\n")}\n} | nc -NU "$BROKER" | xxd`;
}

function eventKinds(): string {
  const rows = Object.entries(EVENT_KINDS).map(
    ([name, { number, when }]: [string, EventKindRow]) =>
      `| \`${name}\` | ${number} | ${when ?? "never: nothing here does it"} |`,
  );
  return ["| Kind | Number | When |", "| --- | --- | --- |", ...rows].join("\n");
}

function labels(): string {
  const rows = LABELS.map(({ key, value, fallback, about }) => [
    `\`${key.endsWith(".") ? `${key}NAME` : key}\``,
    value,
    fallback === "" ? "none" : fallback,
    about,
  ]);
  return table("Key|Value|Default|Meaning", rows);
}

function metrics(): string {
  const rows = Object.entries(METRICS).map(([name, { type, labels, about }]) => [
    `\`${METRIC_PREFIX}${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(", "),
    about,
  ]);
  return table("Name|Type|Labels|Meaning", rows);
}

// ------------------------------------------------------------------------------------------------ forms

function fenced(lines: string): string {
  return `\`\`\`\n${lines}\n\`\`\``;
}

function hexLines(bytes: Uint8Array): string {
  const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
  const lines: string[] = [];
  for (let at = 0; at < pairs.length; at += 24) lines.push(pairs.slice(at, at + 24).join(" "));
  return lines.join("\n");
}
