import assert from "node:assert/strict";
import test from "node:test";
import {
  BACKEND_TABLE,
  type BackendEffect,
  type BackendEvent,
  type BackendState,
  stepBackend,
} from "./backend-state.ts";

const STATES = Object.keys(BACKEND_TABLE) as BackendState[];
const EVENTS = Object.keys(BACKEND_TABLE.spawning) as BackendEvent[];
const EFFECTS: ReadonlySet<BackendEffect> = new Set<BackendEffect>([
  "publish",
  "unpublish",
  "terminate",
  "arm-stop-deadline",
  "disarm-stop-deadline",
  "kill-tree",
  "clean-up",
]);
const ENDS: readonly BackendState[] = ["failed", "absent"];

interface Arrow {
  readonly from: BackendState;
  readonly event: BackendEvent;
  readonly to: BackendState;
  readonly effects: readonly BackendEffect[];
}

const ARROWS: readonly Arrow[] = STATES.flatMap((from) =>
  EVENTS.flatMap((event) => {
    const cell = BACKEND_TABLE[from][event];
    return typeof cell === "string" ? [] : [{ from, event, ...cell }];
  }),
);

function reachableFrom(start: BackendState): Set<BackendState> {
  const seen = new Set([start]);
  for (const state of seen) for (const arrow of ARROWS) if (arrow.from === state) seen.add(arrow.to);
  return seen;
}

test("every state can be reached from a launch, and every state can reach an end", () => {
  assert.deepEqual([...reachableFrom("spawning")].sort(), [...STATES].sort());
  for (const state of STATES)
    assert.ok(
      ENDS.some((end) => reachableFrom(state).has(end)),
      `${state} has no way out`,
    );
});

test("nothing leads out of an end, and no end is entered without killing and cleaning up last", () => {
  for (const { from, event, to, effects } of ARROWS) {
    assert.ok(!ENDS.includes(from), `${from} is left by ${event}`);
    if (ENDS.includes(to)) assert.deepEqual(effects.slice(-2), ["kill-tree", "clean-up"], `${from} on ${event}`);
    else assert.ok(!effects.includes("clean-up"), `${from} on ${event} cleans up and goes on`);
  }
});

test("all cells are written and name known states and effects only", () => {
  for (const state of STATES) {
    assert.deepEqual(Object.keys(BACKEND_TABLE[state]).sort(), [...EVENTS].sort());
    for (const cell of Object.values(BACKEND_TABLE[state])) {
      if (typeof cell === "string") assert.ok(cell === "ignore" || cell === "bug");
      else assert.ok(STATES.includes(cell.to) && cell.effects.every((effect) => EFFECTS.has(effect)));
    }
  }
});

test("a backend is handed out exactly while it runs", () => {
  for (const { from, event, to, effects } of ARROWS) {
    assert.equal(effects.includes("publish"), from !== "running" && to === "running", `${from} on ${event}`);
    assert.equal(effects.includes("unpublish"), from === "running" && to !== "running", `${from} on ${event}`);
  }
});

test("the stop deadline is armed on the way into draining and disarmed on the way out", () => {
  for (const { from, event, to, effects } of ARROWS) {
    assert.equal(
      effects.includes("arm-stop-deadline"),
      from !== "draining" && to === "draining",
      `${from} on ${event}`,
    );
    assert.equal(
      effects.includes("disarm-stop-deadline"),
      from === "draining" && to !== "draining",
      `${from} on ${event}`,
    );
  }
});

test("a process may end, and an operator may want it gone, at any time", () => {
  for (const state of STATES)
    for (const event of ["exited", "stop"] as const) assert.notEqual(BACKEND_TABLE[state][event], "bug");
});

test("a step changes nothing for an ignored event and throws for one that cannot happen", () => {
  assert.equal(stepBackend("absent", "stop"), undefined);
  assert.deepEqual(stepBackend("spawning", "ready"), { to: "running", effects: ["publish"] });
  assert.throws(() => stepBackend("running", "ready"), /cannot get "ready" while running/);
});
