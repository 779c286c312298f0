import assert from "node:assert/strict";
import test from "node:test";
import { createServiceDefinition } from "../../model/service-definition.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { LaunchRequest } from "../launch/launch-request.ts";
import type { LaunchedBackend, LaunchRegistry } from "../supervisor/backend.ts";
import { type Activated, createActivation } from "./activation.ts";

const REQUEST: LaunchRequest = {
  key: { instanceId: "private:svc", service: "svc", version: "1.0.0" },
  definition: createServiceDefinition({ serviceName: "svc", binaryPath: "/bin/svc" }),
  traceparent: "",
  tracestate: "",
};

/** Real activation over launches that a test brings to their ends by hand. */
function setUp() {
  const launches: { registry: LaunchRegistry; up(backend: LaunchedBackend): void; down(error: Error): void }[] = [];
  const clock = createManualClock();
  const activation = createActivation({
    clock,
    bringUp: (_, registry) =>
      new Promise((resolve, reject) => {
        const up = (backend: LaunchedBackend): void => {
          registry.publish(backend);
          resolve(backend);
        };
        launches.push({ registry, up, down: reject });
      }),
  });
  return { activation, launches, clock };
}

interface Counted extends LaunchedBackend {
  retired: number;
}

function backend(isServing: () => Promise<boolean> = async () => true): Counted {
  const counted: Pick<Counted, "key" | "isServing" | "retire" | "retired"> = {
    key: REQUEST.key,
    isServing,
    retired: 0,
    retire: () => void counted.retired++,
  };
  return counted as Counted;
}

function backendOf(activated: Activated): LaunchedBackend {
  assert.ok("backend" in activated);
  return activated.backend as LaunchedBackend;
}

for (const seen of [true, false]) {
  test(`a look at a backend that outlasts its successor's launch yields the successor (seen serving: ${seen})`, async () => {
    const { activation, launches } = setUp();
    let answer: (serving: boolean) => void = () => {};
    const looks = [new Promise<boolean>((resolve) => (answer = resolve)), Promise.resolve(false)];
    const launched = activation.activate(REQUEST);
    launches[0]?.up(backend(() => looks.shift() as Promise<boolean>));
    await launched;

    const waiting = activation.activate(REQUEST);
    const quick = activation.activate(REQUEST);
    await new Promise(setImmediate);
    const successor = backend();
    launches[1]?.up(successor);
    assert.equal(backendOf(await quick), successor);
    answer(seen);
    assert.equal(backendOf(await waiting), successor);
    assert.equal(launches.length, 2);
  });
}

test("a backend that does not serve is retired once and replaced by one launch for all who ask", async () => {
  const { activation, launches } = setUp();
  const dead = backend(async () => false);
  const launched = activation.activate(REQUEST);
  launches[0]?.up(dead);
  await launched;
  const asked = [1, 2, 3].map(() => activation.activate(REQUEST));
  await new Promise(setImmediate);
  const next = backend();
  launches[1]?.up(next);
  for (const activated of await Promise.all(asked)) assert.equal(backendOf(activated), next);
  assert.equal(launches.length, 2);
  assert.ok(dead.retired >= 1);
});

test("nothing waits for a backend to stay up that has gone", async () => {
  const { activation, launches, clock } = setUp();
  const gone = backend();
  const launched = activation.activate(REQUEST);
  launches[0]?.up(gone);
  await launched;
  assert.equal(clock.pendingTimers, 1);
  // News of an older one of the same launch does not concern it.
  launches[0]?.registry.unpublish(backend(), "exited");
  assert.equal(clock.pendingTimers, 1);
  launches[0]?.registry.unpublish(gone, "exited");
  assert.equal(clock.pendingTimers, 0);
});

test("without a way to launch, a backend that is not there is refused as not registered", async () => {
  const activation = createActivation({ clock: createManualClock() });
  const activated = await activation.activate(REQUEST);
  assert.ok("refusal" in activated);
  assert.deepEqual(
    [activated.refusal.code, activated.refusal.reason, activated.refusal.retryAfterMs],
    ["BACKEND_SPAWN_FAILED", "backend is not registered", 1000],
  );
});

test("a Hello for a key whose leftovers are being looked at waits, and gets what was taken over", async () => {
  const { activation, launches } = setUp();
  const adopted = backend();
  let registry: LaunchRegistry | undefined;
  let looked: () => void = () => {};
  activation.adopt(REQUEST.key, (given) => {
    registry = given;
    return new Promise((resolve) => {
      looked = resolve;
    });
  });
  const waiting = [1, 2].map(() => activation.activate(REQUEST));
  const other = activation.activate({ ...REQUEST, key: { ...REQUEST.key, version: "2.0.0" } });
  await new Promise(setImmediate);
  // Another key does not wait.
  assert.equal(launches.length, 1);
  launches[0]?.up(backend());
  await other;
  registry?.publish(adopted);
  looked();
  for (const activated of await Promise.all(waiting)) assert.equal(backendOf(activated), adopted);
  assert.equal(launches.length, 1);
});

test("when nothing could be taken over, those who waited share one launch", async () => {
  const { activation, launches } = setUp();
  activation.adopt(REQUEST.key, () => Promise.reject(new Error("could not be looked at")));
  const waiting = [1, 2, 3].map(() => activation.activate(REQUEST));
  await new Promise(setImmediate);
  const launched = backend();
  launches[0]?.up(launched);
  for (const activated of await Promise.all(waiting)) assert.equal(backendOf(activated), launched);
  assert.equal(launches.length, 1);
});

test("a broker that ends while it takes a backend over leaves it running; one that stops all ends it", async () => {
  for (const what of ["launching", "all"] as const) {
    const { activation } = setUp();
    let stopped = 0;
    let end: () => void = () => {};
    const running = Object.assign(backend(), {
      state: "running" as const,
      ended: new Promise<void>((resolve) => {
        end = resolve;
      }),
      stop: () => {
        stopped++;
        end();
      },
    });
    let take: () => void = () => {};
    activation.adopt(REQUEST.key, async (registry) => {
      await new Promise<void>((resolve) => {
        take = resolve;
      });
      registry.publish(running);
      registry.started(running);
    });
    const done = activation.stop(what);
    take();
    await done;
    assert.equal(stopped, what === "all" ? 1 : 0, what);
  }
});
