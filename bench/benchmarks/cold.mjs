// What a tool's user waits for: the wall time of whole processes, from spawn to exit.
import { program, start } from "../frame/children.mjs";
import { interleave } from "../frame/interleave.mjs";
import { openPlace, openWorld, plainEnvironment, processesOf, SERVICE, VERSION } from "../stage/world.mjs";

// Where this is set, each Node reads a hundred certificates before it does anything else.
const { NODE_EXTRA_CA_CERTS } = process.env;
const CERTIFICATES = NODE_EXTRA_CA_CERTS === undefined ? undefined : { NODE_EXTRA_CA_CERTS };

export default {
  name: "cold",
  title: "Wall time of a whole process, from spawn to exit",
  samples: 30,
  smokeSamples: 1,
  rows: [
    { id: "node", name: "node -e 0", unit: "ms" },
    { id: "module", name: "an empty module", unit: "ms", against: "node" },
    { id: "chain", name: "three empty modules, each started by the one before", unit: "ms", against: "node" },
    { id: "import", name: "import of /client and nothing else", unit: "ms", against: "node" },
    { id: "warm", name: "one request, broker and backend running", unit: "ms", against: "node" },
    { id: "no-backend", name: "one request, broker running, no backend", unit: "ms", against: "node" },
    { id: "nothing", name: "one request, nothing running", unit: "ms", against: "node" },
    ...(CERTIFICATES === undefined
      ? []
      : [
          { id: "node-certificates", name: "node -e 0, NODE_EXTRA_CA_CERTS set", unit: "ms" },
          {
            id: "nothing-certificates",
            name: "one request, nothing running, NODE_EXTRA_CA_CERTS set",
            unit: "ms",
            against: "node-certificates",
          },
        ]),
  ],
  targets: [
    { row: "nothing", figure: "p50", of: "node", atMost: 4.5 },
    ...(CERTIFICATES === undefined
      ? []
      : [{ row: "nothing-certificates", figure: "p50", of: "node-certificates", atMost: 4.5 }]),
    { row: "import", figure: "p50", minus: "module", atMost: 15 },
  ],
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const broker = { endpoint: world.endpoint, autoStart: false };
    const ask = (version) => runNode(["cold-client.mjs", { service: SERVICE, version, broker }], world.env);
    await ask(VERSION);
    const running = new Set(processesOf(world.root));
    let launched = 0;

    const measured = await interleave(
      {
        node: () => runNode(["-e", "0"]),
        module: () => runNode(["empty.mjs"]),
        chain: () => runNode(["chain.mjs", 2]),
        import: () => runNode(["import-client.mjs"]),
        warm: () => ask(VERSION),
        "no-backend": {
          // A version that nobody has asked for has no backend.
          use: () => ask(`2.0.${launched++}`),
          after() {
            for (const pid of processesOf(world.root)) if (!running.has(pid)) process.kill(pid, "SIGKILL");
          },
        },
        nothing: fromNothing({}),
        ...(CERTIFICATES !== undefined && {
          "node-certificates": () => runNode(["-e", "0"], { ...plainEnvironment(), ...CERTIFICATES }),
          "nothing-certificates": fromNothing(CERTIFICATES),
        }),
      },
      { samples, warmUp: smoke ? 0 : 2 },
    );
    return Object.fromEntries(Object.entries(measured).map(([id, micros]) => [id, micros.map((each) => each / 1000)]));
  },
};

function fromNothing(more) {
  return {
    before: openPlace,
    async use(place) {
      await runNode(["cold-client.mjs", { service: SERVICE, version: VERSION }], { ...place.env, ...more });
      return place;
    },
    after: (place) => place.close(),
  };
}

async function runNode([name, task], env = plainEnvironment()) {
  const args = name === "-e" ? [name, task] : [program(name), ...(task === undefined ? [] : [JSON.stringify(task)])];
  const { ended } = start(process.execPath, args, { env, stdio: ["ignore", "ignore", "inherit"] });
  const [status, signal] = await ended;
  if (status !== 0) throw new Error(`${name} ended with ${signal ?? `status ${status}`}`);
}
