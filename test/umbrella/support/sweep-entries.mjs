/** Every public entry, in this process: `node sweep-entries.mjs ENDPOINT DIRECTORY SERVICE`. */
import { readdirSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { bootstrap, serve } from "../../../dist/backend/index.js";
import { loadPlatform, startBroker } from "../../../dist/broker/index.js";
import { connect, openSession } from "../../../dist/client/index.js";
import { openServices } from "../../../dist/index.js";
import { ConformanceError, checkProbeResponds } from "../../../dist/testing/index.js";
import { checkError, sweep } from "./sweep.mjs";

const [endpoint, root, service] = process.argv.slice(2);
const wanted = { service, version: "1.0.0", timeoutMs: 10_000 };
const own = await serve({
  endpoint: `${root}/probed.sock`,
  protocol: 0xf001,
  handle: () => Buffer.from("x"),
  onError() {},
});
const identity = await own.identity;

/** Resolves with what the call came to; the fallback must have been asked when it was not the broker's path. */
async function withFallback(call, options) {
  let reason;
  const result = await call({
    ...wanted,
    ...options,
    fallback: async (error) => {
      reason = error;
      return new Socket();
    },
  });
  const route = result.route ?? result.connection.route;
  if ((route === "fallback") !== (reason !== undefined)) throw new Error(`route ${route}, fallback ${reason}`);
  if (reason !== undefined) checkError(reason);
  await (result.close?.() ?? result.socket.destroy());
}

/** A call without a fallback fails with a code or succeeds; one with it never fails. */
function client(call, options) {
  return {
    async run() {
      try {
        await withFallback(call, options);
      } catch (error) {
        throw new Error(`with a fallback: ${error.stack}`);
      }
    },
  };
}

const asked = { broker: { endpoint, autoStart: false } };
const starting = {
  broker: { endpoint: `${root}/started.sock`, startCommand: { file: "/bin/false", args: [] } },
};
const absent = { broker: { endpoint: `${root}/absent/x.sock`, autoStart: false } };
const failing = {
  async run() {
    const { socket } = await connect({ ...wanted, ...asked });
    socket.destroy();
  },
};
const services = async () => openServices({ directory: `${root}/definitions` });
const backend = {
  bind: () => ({ close() {} }),
  adopt: (listener) => listener,
  discard: (listener) => listener.close(),
  load: () => 1,
  serve: async () => "served",
};
const clean = () => {
  for (const name of readdirSync(root))
    if (/^(served|booted|broker)\.sock/.test(name)) rmSync(`${root}/${name}`, { recursive: true });
};
const platform = await loadPlatform();
const brokerOptions = {
  platform,
  env: process.env,
  endpoint: `${root}/broker.sock`,
  definitionDirectory: `${root}/definitions`,
  definitionDirectorySource: "test",
  logDirectory: `${root}/logs`,
};

await sweep({
  "client connect": failing,
  "client connect, with fallback": client(connect, asked),
  "client connect, the definition names the broker": client(connect, {
    definitionDirectory: `${root}/definitions`,
    broker: { autoStart: false },
  }),
  "client connect, nothing there": client(connect, absent),
  "client connect, starting a broker that fails": client(connect, starting),
  "client connect, cached endpoint": client(connect, { ...asked, cachedEndpoint: own.endpoint }),
  "client connect, cached and verified": client(connect, { ...asked, verifyCached: identity }),
  "client openSession": client(openSession, asked),
  "client openSession, cached and verified": client(openSession, { ...asked, verifyCached: identity }),
  "client openSession, starting a broker that fails": client(openSession, starting),
  "client, options of the wrong form": {
    run: () =>
      connect(undefined).catch((error) => {
        if (error.code !== "OPTION_INVALID") throw error;
      }),
  },
  "services add": { run: async () => (await services()).add({ name: "one", binary: "/bin/true" }) },
  "services get": { run: async () => (await services()).get("one") },
  "services list": { run: async () => (await services()).list() },
  "services remove": { run: async () => (await services()).remove("one") },
  "services of the user": { run: () => openServices({ env: { HOME: root } }) },
  "backend serve": {
    async run() {
      const served = await serve({
        endpoint: `${root}/served.sock`,
        sidecarPath: `${root}/served.sock.identity`,
        protocol: 0xf001,
        handle: () => Buffer.from("x"),
        onError: checkError,
        handleSignals: false,
      });
      await served.identity.catch(checkError);
      await served.stop();
    },
    reset: clean,
  },
  "backend bootstrap": { run: () => bootstrap(backend, { endpoint: `${root}/booted.sock` }), reset: clean },
  "broker start and stop": {
    async run() {
      const broker = await startBroker(brokerOptions);
      await broker.stop({ reason: "requested" });
    },
    reset: clean,
  },
  "testing checkProbeResponds": {
    async run() {
      try {
        await checkProbeResponds({ pid: process.pid, endpoint: identity.endpoint });
      } catch (error) {
        if (!(error instanceof ConformanceError)) throw error;
      }
    },
  },
});
process.exit();
