import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { hasCode } from "../../base/errors.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { buildProgram } from "../program.ts";
import { createContext } from "../shell/context.ts";
import type { Lines } from "../shell/output.ts";
import { createProcessIo } from "../shell/process-io.ts";
import { VERBS } from "../verbs/index.ts";
import { askBroker } from "./ask-broker.ts";
import { PERMISSIONS } from "./permissions.ts";

function leaves(command: Command, path: readonly string[]): string[] {
  const children = command.commands.filter((child) => child.name() !== "help");
  if (children.length === 0) return [path.join(" ")];
  return children.flatMap((child) => leaves(child, [...path, child.name()]));
}

test("every verb of the program has its permissions, and no other has", async () => {
  const program = await buildProgram(createContext(createProcessIo()));
  assert.deepEqual(leaves(program, []).sort(), Object.keys(PERMISSIONS).sort());
});

test("verbs that read may start and stop nothing", () => {
  const allowed = Object.entries(PERMISSIONS).filter(([, { mayStart, mayStop }]) => mayStart || mayStop);
  assert.deepEqual(Object.fromEntries(allowed), {
    serve: { mayStart: true, mayStop: true },
    connect: { mayStart: true, mayStop: false },
    stop: { mayStart: false, mayStop: true },
    restart: { mayStart: true, mayStop: true },
  });
});

test("a verb without the permission cannot ask a broker to end", async () => {
  const context = createContext(createProcessIo());
  const query = { verb: AdminVerb.SHUTDOWN };
  await assert.rejects(askBroker(context, PERMISSIONS.status, "/nowhere/b.sock", query), /may not do/);
  await assert.rejects(askBroker(context, PERMISSIONS.stop, "/nowhere/b.sock", query), (error) =>
    hasCode(error, "BROKER_UNAVAILABLE"),
  );
});

test("every verb teaches: a description, examples, and what it starts or stops", async () => {
  let shown = "";
  const io = Object.assign(createProcessIo(), {
    out(lines: Lines) {
      shown += [lines].flat().join("\n");
    },
  });
  const program = await buildProgram(createContext(io));
  const visit = (command: Command, path: string): void => {
    const children = command.commands.filter((child) => child.name() !== "help");
    for (const child of children) visit(child, `${path} ${child.name()}`);
    if (path === "rpb") return;
    shown = "";
    command.outputHelp();
    assert.match(shown, /Examples?[^\n]*:\n {2}\S/, path);
    const examples = shown.slice(shown.indexOf("\nExample"));
    assert.ok(examples.includes(path), `${path}: no example of itself`);
    if (children.length === 0) assert.match(shown, /[Ss]tart|[Ee]nds?\b|launch|left alone/, path);
  };
  visit(program, "rpb");
});

test("a verb that is not used is not loaded, and still has its summary", async () => {
  const program = await buildProgram(createContext(createProcessIo()), "");
  assert.deepEqual(
    program.commands.filter((command) => command.name() !== "help").map((command) => command.description()),
    Object.values(VERBS).map(({ summary }) => summary),
  );
  assert.ok(program.commands.every((command) => command.options.length === 0));
});
