import assert from "node:assert/strict";
import { test } from "node:test";
import { explainService, type LiveBroker, type VersionStory } from "./explain-service.ts";
import type { LifecycleEvent } from "./lifecycle-event.ts";

const UP: LiveBroker = { answer: "up", pid: 7, backends: [] };
const DOWN: LiveBroker = { answer: "not-running", pid: 0, backends: [] };

let clock = 1000;

function event(
  type: string,
  more: Partial<Omit<LifecycleEvent, "extra">> & { extra?: Record<string, string> } = {},
): LifecycleEvent {
  const broker = type.startsWith("broker-");
  return {
    tsMs: clock++,
    pid: 0,
    service: broker ? "" : "demo",
    kind: "EVENT_KIND_UNSPECIFIED",
    reason: `reason of ${type}`,
    severity: "INFO",
    requestId: "",
    connectionId: 0,
    instance: "private:demo",
    ...more,
    extra: { type, broker_pid: "7", ...(broker ? {} : { version: "1.0.0" }), ...more.extra },
  };
}

const launching = () => event("backend-launching", { reason: "for a Hello of pid 3: it was not there" });
const ready = (pid: number) =>
  event("backend-state", { pid, reason: "ready 5 ms after its launch began", extra: { to: "running" } });
const gone = (pid: number) => event("backend-state", { pid, reason: "crashed with status 1", extra: { to: "absent" } });
const hello = (pid: number, extra: Record<string, string> = {}) =>
  event("hello-accepted", {
    pid,
    reason: "got the running backend (pid 50)",
    extra: { how: "reused", backend_pid: "50", ...extra },
  });

function explain(events: readonly LifecycleEvent[], broker: LiveBroker = UP, exists = false): readonly VersionStory[] {
  return explainService({ service: "demo", events, broker, exists: () => exists });
}

function only(stories: readonly VersionStory[]): VersionStory {
  assert.equal(stories.length, 1);
  return stories[0] as VersionStory;
}

const sentences = ({ chain }: VersionStory): string[] => chain.map(({ sentence }) => sentence);

test("the chain begins with what made the last launch necessary; Hellos that are alike are one step", () => {
  const story = only(
    explain(
      [
        event("broker-started"),
        event("definition-loaded", { reason: "binary /opt/demo" }),
        launching(),
        ready(40),
        hello(20),
        gone(40),
        launching(),
        ready(50),
        hello(21),
        hello(22),
        hello(23, { count: "40" }),
        event("broker-started", { extra: { broker_pid: "8" } }),
        event("hello-accepted", { service: "other", pid: 9 }),
      ],
      { ...UP, backends: [{ version: "1.0.0", pid: 50, state: "running" }] },
    ),
  );
  assert.deepEqual(
    [story.state, story.pid, story.sentence],
    ["running", 50, "demo 1.0.0 runs as pid 50 and is given to clients"],
  );
  assert.deepEqual(sentences(story), [
    "broker private:demo (pid 7) started",
    "its definition was read: binary /opt/demo",
    "pid 40 crashed with status 1",
    "a launch began for a Hello of pid 3: it was not there",
    "pid 50 was ready 5 ms after its launch began",
    "42 Hellos got the running backend (pid 50), the last of them of pid 23",
  ]);
});

test("what it is now comes from the broker where it knows, else from the record", () => {
  const failed = event("backend-launch-failed", { reason: "no such file" });
  const draining = event("backend-state", { pid: 50, reason: "was asked to end", extra: { to: "draining" } });
  const rows: readonly [string, readonly LifecycleEvent[], LiveBroker, boolean, number, RegExp][] = [
    [
      "not-serving",
      [launching(), ready(50)],
      { ...UP, backends: [{ version: "1.0.0", pid: 50, state: "stale" }] },
      true,
      50,
      /does not serve/,
    ],
    ["launching", [launching()], UP, false, 0, /is being launched/],
    ["unknown", [launching()], DOWN, false, 0, /what became of it is not on record/],
    ["unknown", [launching()], { ...UP, pid: 8 }, false, 0, /not on record/],
    ["launch-failed", [launching(), failed], UP, false, 0, /its last launch failed: no such file/],
    ["ended", [launching(), ready(50), gone(50)], UP, true, 0, /does not run: pid 50 crashed with status 1/],
    ["ending", [launching(), ready(50), draining], UP, true, 50, /was asked to end and has not ended yet/],
    ["left-running", [launching(), ready(50)], DOWN, true, 50, /the broker that launched it \(pid 7\) has ended/],
    ["left-running", [launching(), ready(50)], { ...UP, pid: 8 }, true, 50, /no other lists it/],
    ["ended", [launching(), ready(50)], DOWN, false, 0, /is gone, and its end is not on record/],
    ["unknown", [launching(), ready(50)], { ...DOWN, answer: "no-answer" }, true, 50, /does not answer/],
  ];
  for (const [state, events, broker, exists, pid, sentence] of rows) {
    const story = only(explain(events, broker, exists));
    assert.deepEqual([story.state, story.pid], [state, pid], story.sentence);
    assert.match(story.sentence, sentence);
  }
});

test("versions that were only refused are the latest ones, newest version first", () => {
  const refused = (version: string) =>
    event("hello-refused", { pid: 20, reason: "not allowed", extra: { version, code: "VERSION_BLOCKED" } });
  const stories = explain([launching(), gone(40), ...["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.2.0"].map(refused)]);
  assert.deepEqual(
    stories.map(({ version, state }) => `${version} ${state}`),
    ["1.0.0 ended", "0.4.0 refused", "0.3.0 refused", "0.2.0 refused"],
  );
  assert.equal(
    stories[3]?.sentence,
    "demo 0.2.0 was not launched: a Hello of pid 20 was refused (VERSION_BLOCKED): not allowed",
  );
  assert.equal(stories[3]?.chain[0]?.count, 2);
});

test("without anything on record there is no story, and of a version that is asked for one that says so", () => {
  assert.deepEqual(explain([event("hello-accepted", { service: "other" })]), []);
  const story = only(
    explainService({ service: "demo", version: "2.0.0", events: [launching()], broker: UP, exists: () => false }),
  );
  assert.deepEqual(
    [story.state, story.sentence, story.chain],
    ["unknown", "nothing about demo 2.0.0 is on record", []],
  );
});

test("a number of a process that came again does not bring another broker's life into the story", () => {
  const story = only(
    explain(
      [event("broker-started"), event("broker-stopped"), event("broker-started"), launching(), ready(50)],
      DOWN,
      true,
    ),
  );
  assert.equal(sentences(story).filter((sentence) => sentence.includes("started")).length, 1);
  assert.equal(sentences(story).filter((sentence) => sentence.includes("ended")).length, 0);
});
