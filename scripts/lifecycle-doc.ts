/**
 * Writes docs/lifecycle.md from the table in src/model/backend-state.ts; with `--check` it only compares and exits 1 when
 * the file is stale.
 *
 *   node --import tsx scripts/lifecycle-doc.ts [--check]
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  BACKEND_TABLE,
  type BackendEvent,
  type BackendState,
  type PlainCell,
  WISH,
} from "../src/model/backend-state.ts";

const COMMAND = "node --import tsx scripts/lifecycle-doc.ts";
const FILE = fileURLToPath(new URL("../docs/lifecycle.md", import.meta.url));
const SOURCE = readFileSync(new URL("../src/model/backend-state.ts", import.meta.url), "utf8");

const STATES = Object.keys(BACKEND_TABLE) as BackendState[];
const EVENTS = Object.keys(WISH) as BackendEvent[];

const STATE_ABOUT: Readonly<Record<BackendState, string>> = {
  absent: "there is no process; a life begins and ends here",
  spawning: "its process was started and has not proved itself yet",
  running: "it is handed out to clients",
  draining: "it gets no new client; what it has goes on until it ends",
  failed: "the launch failed; nothing is left of it",
};

/** The comments beside the names in a union type, in their order. */
function abouts(type: string): [name: string, about: string][] {
  const body = new RegExp(`export type ${type} =([\\s\\S]*?);\\n`).exec(SOURCE)?.[1] ?? "";
  let about = "";
  return body.split("\n").flatMap((line): [string, string][] => {
    about = /\/\*\* (.*) \*\//.exec(line)?.[1] ?? about;
    const name = /^\s*\| "([a-z-]+)"/.exec(line)?.[1];
    if (name === undefined) return [];
    const row: [string, string] = [name, about];
    about = "";
    return [row];
  });
}

function arrow(cell: PlainCell): string {
  if (cell === "ignore") return "–";
  if (cell === "bug") return "✗";
  return [`**${cell.to}**`, ...cell.effects].join("<br>");
}

function cell(state: BackendState, event: BackendEvent): string {
  const written = BACKEND_TABLE[state][event];
  if (typeof written === "string" || !("wanted" in written)) return arrow(written);
  return `wanted: ${arrow(written.wanted)}<br>else: ${arrow(written.unwanted)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const events = abouts("BackendEvent");
const effects = abouts("BackendEffect");
for (const event of EVENTS)
  if (!events.some(([name]) => name === event)) throw new Error(`event ${event} is not described`);

const rendered = `# The life of a backend

<!-- Made from src/model/backend-state.ts by: ${COMMAND} -->

Every backend that a broker launched or adopted lives by this table. An event changes the state and runs effects in their
order; \`rpb serve\` logs each change as \`backend-state\` with \`event\`, \`from\` and \`to\`.

Adoption is no state: a backend of an earlier broker begins with \`adopted\` instead of \`launched\` and is treated like any
other from there on. Beside the state there is the **wish**: shall it go on taking new clients? \`idle\` leaves the wish as it
is, so a backend that refuses to end because a client has just come runs again. Whatever replaces or ends it takes the wish down.

## States

${table(
  ["State", "Meaning"],
  STATES.map((state) => [`\`${state}\``, STATE_ABOUT[state]]),
)}

## Events

${table(
  ["Event", "When", "Wish"],
  events.map(([name, about]) => [
    `\`${name}\``,
    about,
    WISH[name as BackendEvent] === "same" ? "" : WISH[name as BackendEvent],
  ]),
)}

## Effects

${table(
  ["Effect", "What is done"],
  effects.map(([name, about]) => [`\`${name}\``, about]),
)}

## Table

**State** in bold is the next one, followed by the effects. – means nothing happens, ✗ cannot happen.

${table(
  ["Event", ...STATES],
  EVENTS.map((event) => [`\`${event}\``, ...STATES.map((state) => cell(state, event))]),
)}

## What follows from it

- Only a backend that was stopped, does not serve, or has drained is sent SIGTERM, once. One that is idle or replaced is never
  signalled while anybody uses it, and has no deadline.
- SIGKILL follows \`stop\` and \`not-serving\` alone, after \`exec.stop_timeout\`.
- Whatever ends, ends with \`kill-tree\` and \`clean-up\`: no helper process and no file is left.
`;

if (!existsSync(FILE) || readFileSync(FILE, "utf8") !== rendered) {
  if (process.argv.includes("--check")) {
    console.error(`docs/lifecycle.md is not what the code says; write it anew with: ${COMMAND}`);
    process.exitCode = 1;
  } else writeFileSync(FILE, rendered);
}
