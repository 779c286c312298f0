import assert from "node:assert/strict";
import test from "node:test";
import {
  BACKEND_TABLE,
  type BackendEffect,
  type BackendEvent,
  type BackendState,
  type PlainCell,
  stepBackend,
  UNBORN,
  WISH,
} from "./backend-state.ts";

const STATES = Object.keys(BACKEND_TABLE) as BackendState[];
const EVENTS = Object.keys(BACKEND_TABLE.spawning) as BackendEvent[];

interface Arrow {
  readonly from: BackendState;
  readonly event: BackendEvent;
  readonly to: BackendState;
  readonly effects: readonly BackendEffect[];
}

function cellsOf(from: BackendState, event: BackendEvent): readonly PlainCell[] {
  const cell = BACKEND_TABLE[from][event];
  return typeof cell === "object" && "wanted" in cell ? [cell.wanted, cell.unwanted] : [cell];
}

const ARROWS: readonly Arrow[] = STATES.flatMap((from) =>
  EVENTS.flatMap((event) =>
    cellsOf(from, event).flatMap((cell) => (typeof cell === "string" ? [] : [{ from, event, ...cell }])),
  ),
);

function reachableFrom(start: BackendState): Set<BackendState> {
  const seen = new Set([start]);
  for (const state of seen) for (const arrow of ARROWS) if (arrow.from === state) seen.add(arrow.to);
  return seen;
}

test("every state can be reached, and every state can reach absent or failed, where nothing is left", () => {
  assert.deepEqual([...reachableFrom("absent")].sort(), [...STATES].sort());
  for (const state of STATES) {
    const reachable = reachableFrom(state);
    assert.ok(reachable.has("absent") || reachable.has("failed"), `${state} has no way out`);
  }
});

test("a failed launch stays failed, and a life begins only where there is none", () => {
  for (const { from, event } of ARROWS) {
    assert.notEqual(from, "failed", `failed is left by ${event}`);
    if (from === "absent") assert.ok(["launched", "adopted", "adopted-to-drain"].includes(event));
  }
});

test("no end is entered without killing and cleaning up last, and nothing cleans up and goes on", () => {
  for (const { from, event, to, effects } of ARROWS) {
    if (to === "failed" || to === "absent")
      assert.deepEqual(effects.slice(-2), ["kill-tree", "clean-up"], `${from} on ${event}`);
    else assert.ok(!effects.includes("clean-up"), `${from} on ${event} cleans up and goes on`);
  }
});

test("all cells are written", () => {
  for (const state of STATES) assert.deepEqual(Object.keys(BACKEND_TABLE[state]).sort(), Object.keys(WISH).sort());
});

test("a backend is handed out and watched exactly while it runs", () => {
  for (const { from, event, to, effects } of ARROWS) {
    for (const [begin, end] of [
      ["publish", "unpublish"],
      ["watch", "unwatch"],
    ] as const) {
      assert.equal(effects.includes(begin), from !== "running" && to === "running", `${from} on ${event}: ${begin}`);
      assert.equal(effects.includes(end), from === "running" && to !== "running", `${from} on ${event}: ${end}`);
    }
  }
});

test("going idle, being replaced and being drained never arm a deadline or kill", () => {
  for (const { from, event, effects } of ARROWS)
    if (["idle", "replaced", "drained", "quiesce-refused", "withdrawn", "adopted-to-drain"].includes(event))
      for (const effect of ["arm-stop-deadline", "kill-tree"] as const)
        assert.ok(!effects.includes(effect), `${from} on ${event}: ${effect}`);
});

test("only what drained or stopped or does not serve is signalled, never what is merely idle or replaced", () => {
  for (const { from, event, effects } of ARROWS)
    if (effects.includes("terminate"))
      assert.ok(["drained", "stop", "not-serving"].includes(event), `${from} on ${event}`);
});

test("a backend that drains can still be stopped with a deadline, and forgets it when it ends", () => {
  assert.deepEqual(stepBackend({ state: "draining", wanted: false }, "stop").effects, [
    "terminate",
    "arm-stop-deadline",
  ]);
  for (const { from, to, effects } of ARROWS)
    if (from === "draining" && to === "absent") assert.ok(effects.includes("disarm-stop-deadline"));
});

test("what has drained is told to end, and what does not end in its time is killed with all that it started", () => {
  for (const wanted of [true, false]) {
    assert.deepEqual(stepBackend({ state: "draining", wanted }, "drained").effects, ["terminate"]);
    assert.deepEqual(stepBackend({ state: "draining", wanted }, "stop-timeout").effects, ["kill-tree"]);
  }
});

test("a process may end, and an operator may want it gone, at any time", () => {
  for (const state of STATES)
    for (const event of ["exited", "stop"] as const) assert.notEqual(BACKEND_TABLE[state][event], "bug");
});

test("an idle backend that refuses to end runs again, unless something replaced it meanwhile", () => {
  const idle = stepBackend({ state: "running", wanted: true }, "idle");
  assert.deepEqual([idle.state, idle.wanted], ["draining", true]);
  assert.equal(stepBackend(idle, "quiesce-refused").state, "running");
  const replaced = stepBackend(idle, "replaced");
  assert.deepEqual(replaced, { state: "draining", wanted: false, effects: undefined });
  assert.deepEqual(stepBackend(replaced, "quiesce-refused").effects, ["quiesce-later"]);
});

test("a step changes nothing for an ignored event and throws for one that cannot happen", () => {
  assert.deepEqual(stepBackend(UNBORN, "stop"), { ...UNBORN, effects: undefined });
  assert.deepEqual(stepBackend(UNBORN, "launched"), { state: "spawning", wanted: true, effects: [] });
  assert.throws(() => stepBackend({ state: "running", wanted: true }, "ready"), /cannot get "ready" while running/);
});
