import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { loadPlatform } from "../platform/platform.ts";
import type { Listener } from "../platform/ports/index.ts";
import { type BrokeredBackend, bootstrap } from "./contract.ts";

const platform = await loadPlatform();

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "rpb-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "s");
}

function recorded(
  path: string,
  more: Partial<BrokeredBackend<Listener, string, string>> = {},
): { log: string[]; backend: BrokeredBackend<Listener, string, string> } {
  const log: string[] = [];
  const note = (step: string): void => void log.push(`${step}${existsSync(`${path}.lock`) ? " locked" : ""}`);
  return {
    log,
    backend: {
      bind(address) {
        note("bind");
        return platform.transport.listen(address.path);
      },
      adopt(listener) {
        note("adopt");
        return listener;
      },
      discard: (listener) => listener.close(),
      load() {
        note("load");
        return Promise.resolve("state");
      },
      async serve(listener, state, address) {
        note("serve");
        assert.equal(address.path, path);
        const loaded = await state;
        listener.close();
        return `served ${loaded}`;
      },
      ...more,
    },
  };
}

test("bind comes before the lock file, the lock file before load, and serve does not wait for load", async (t) => {
  const path = place(t);
  const { log, backend } = recorded(path);
  assert.equal(await bootstrap(backend, { endpoint: path }, { platform, launchEnv: {} }), "served state");
  assert.deepEqual(log, ["bind", "load locked", "serve locked"]);
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false);
});

test("serve runs while load is still pending", async (t) => {
  const path = place(t);
  let finishLoading: (state: string) => void = () => {};
  const { backend } = recorded(path, {
    load: () => new Promise((resolve) => (finishLoading = resolve)),
    async serve(listener, state) {
      finishLoading("from serve");
      listener.close();
      return state;
    },
  });
  assert.equal(await bootstrap(backend, { endpoint: path }, { platform, launchEnv: {} }), "from serve");
});

test("with a broker-bound listener bind is never called", async (t) => {
  const path = place(t);
  const { log, backend } = recorded(path);
  const launchEnv = { RUNNING_PROCESS_BROKER_LISTENER_FD: String(platform.transport.listen(path).takeFd()) };
  await bootstrap(backend, { endpoint: path }, { platform, launchEnv });
  assert.deepEqual(log, ["adopt", "load locked", "serve locked"]);
});

test("a fault of bind is thrown, neither load nor serve is called", async (t) => {
  const path = place(t);
  const fault = new Error("no room");
  const { log, backend } = recorded(path, {
    bind() {
      throw fault;
    },
  });
  await assert.rejects(bootstrap(backend, { endpoint: path }, { platform, launchEnv: {} }), (error) => error === fault);
  assert.deepEqual(log, []);
});

test("a fault of load reaches serve as its state, and a fault of serve gives the endpoint back", async (t) => {
  const path = place(t);
  const fault = new Error("cannot load");
  const { backend } = recorded(path, {
    load() {
      throw fault;
    },
  });
  await assert.rejects(bootstrap(backend, { endpoint: path }, { platform, launchEnv: {} }), (error) => error === fault);
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false);
});

test("the types keep bind away from state: there is no this and no parameter to reach it by", () => {
  const backend = {
    secret: 1,
    // @ts-expect-error bind gets an address and nothing else
    bind(_address: unknown, _state: string) {},
    // @ts-expect-error and no this
    adopt(this: { secret: number }) {},
    discard() {},
    load: () => "state",
    serve() {},
  } satisfies BrokeredBackend<void, string> & { secret: number };
  assert.ok(backend);
});
