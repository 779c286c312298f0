/** A broker that runs out of descriptors says so, stays observable, and recovers by itself (spec: server, section 13). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { AdminVerb } from "../../../src/wire/messages.ts";
import { createLaunching, type Launching } from "../../support/launching.ts";
import { adminReply, converse, openRaw, refusedIn, sayHello } from "../../support/peers/raw-peer.ts";
import { adminBytes, onlyWeAreConnected, refusalIn, rest, statusOf } from "../../support/probing.ts";
import { descriptorsIn } from "../../support/process-facts.ts";

const PRESSED = "broker is low on file descriptors; retry shortly";
const NOT_FOUND = "service definition was not found";

test("without descriptors Hellos are told to come back, status is served, and three accepts end it", async (t) => {
  const { broker, hold, limitTo } = await createPressed(t);
  const held = await hold(3);
  const refused = refusedIn(await sayHello(broker.endpoint, { serviceName: "none" }));
  assert.deepEqual([refused.code, refused.reason, refused.retryAfterMs], [9, PRESSED, 1000n]);
  assert.match(await broker.logged(/"fd-pressure"/), /"errno":"EMFILE"/);

  // Still without: it says so to whoever asks.
  const status = await statusOf(broker.endpoint);
  assert.deepEqual([status.fd_pressure.demoted, status.accepting_hello], [true, false]);
  const readyz = adminReply(await converse(broker.endpoint, adminBytes(AdminVerb.READYZ)));
  assert.equal(readyz.exitCode, 1);
  assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "none" })).reason, PRESSED);

  // Those that let go hear from a broker that has closed its side.
  for (const socket of held) socket.end();
  await Promise.all(held.map(rest));
  const reasons = [];
  for (let i = 0; i < 4; i++) reasons.push(refusedIn(await sayHello(broker.endpoint, { serviceName: "none" })).reason);
  assert.deepEqual(reasons, [PRESSED, PRESSED, NOT_FOUND, NOT_FOUND]);
  await broker.logged(/"fd-pressure-over"/);
  assert.equal((await statusOf(broker.endpoint)).fd_pressure.demoted, false);

  // A second time as well: the descriptor in reserve is there again.
  limitTo(3);
  const again = await hold(3);
  assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "none" })).reason, PRESSED);
  for (const socket of again) socket.destroy();
});

test("a silent peer that got the last descriptor does not keep the others from being told", async (t) => {
  const { broker, hold } = await createPressed(t);
  const held = await hold(3);
  const last = await openRaw(broker.endpoint);
  const answerToLast = rest(last);
  await broker.logged(/"fd-pressure"/);
  assert.equal(refusedIn(await sayHello(broker.endpoint, { serviceName: "none" })).reason, PRESSED);
  assert.equal(refusalIn(await answerToLast).reason, "incomplete Hello frame");
  for (const socket of held) socket.destroy();
});

interface Pressed extends Launching {
  /** Opens connections that say nothing, and resolves when the broker has accepted them. */
  hold(count: number): Promise<Awaited<ReturnType<typeof openRaw>>[]>;
  /** Allows the broker so many descriptors beyond those it has open. */
  limitTo(more: number): void;
}

/** A broker that can take three more connections, and lets its peers take as long as they want. */
async function createPressed(t: TestContext): Promise<Pressed> {
  const launching = await createLaunching(t, { RUNNING_PROCESS_BROKER_HELLO_TIMEOUT_MS: "600000" });
  const { broker } = launching;
  // What is opened once and for all with the first request is open now.
  await sayHello(broker.endpoint, { serviceName: "none" });
  await onlyWeAreConnected(broker.endpoint);
  const limitTo = (more: number): void => {
    execFileSync("prlimit", ["--pid", String(broker.pid), `--nofile=${numberAfter(broker.pid, more)}:`]);
  };
  limitTo(3);
  return {
    ...launching,
    limitTo,
    async hold(count) {
      const sockets = [];
      for (let i = 0; i < count; i++) {
        const socket = await openRaw(broker.endpoint);
        socket.on("error", () => {});
        sockets.push(socket);
      }
      return sockets;
    },
  };
}

/** The limit that leaves a process `count` more: it is on the numbers of descriptors, and the lowest free one is taken. */
function numberAfter(pid: number, count: number): number {
  const taken = new Set(descriptorsIn(pid).map(({ fd }) => fd));
  let number = 0;
  for (let free = 0; free < count; number++) if (!taken.has(number)) free++;
  return number;
}
