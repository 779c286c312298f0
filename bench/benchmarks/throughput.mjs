// How much goes through one open session of the client library: small requests one after the other, many at once, and
// large payloads; on a session that was handed over, on one that was connected directly, and on a bare net.Socket whose
// peer writes back what it gets.
import { measureIn } from "../frame/children.mjs";
import { startEcho } from "../stage/floors.mjs";
import { openWorld, PROTOCOL, SERVICE, VERSION } from "../stage/world.mjs";

const WORK = {
  small: { name: "64 bytes, one by one", unit: "frames/s", bytes: 64, atOnce: 1, times: 64 },
  pipelined: { name: "64 bytes, 64 at once", unit: "frames/s", bytes: 64, atOnce: 64, times: 4 },
  large: { name: "1 MiB, one by one", unit: "MiB/s", bytes: 1024 * 1024, atOnce: 1, times: 2 },
};
const WAYS = { adopted: "adopted session", direct: "direct session", net: "bare net.Socket" };

export default {
  name: "throughput",
  title: "Requests and their answers on one connection; a MiB counts once, though it travels there and back",
  samples: 200,
  smokeSamples: 2,
  rows: Object.entries(WORK).flatMap(([work, { name, unit }]) =>
    Object.entries(WAYS).map(([way, wayName]) => ({
      id: `${work}-${way}`,
      name: `${name}, ${wayName}`,
      unit,
      better: "higher",
      ...(way !== "net" && { against: `${work}-net` }),
    })),
  ),
  targets: [],
  async measure({ samples, smoke }) {
    const world = await openWorld();
    const echo = await startEcho(world);
    const task = {
      samples,
      warmUp: smoke ? 1 : 20,
      work: WORK,
      broker: world.endpoint,
      service: SERVICE,
      version: VERSION,
      protocol: PROTOCOL,
      echo: echo.path,
    };
    const measured = await measureIn("measure-throughput.mjs", task, {
      env: world.env,
      limitMs: 60_000 + samples * 2000,
    });
    return Object.fromEntries(
      Object.entries(measured).map(([id, micros]) => [id, micros.map((each) => rateOf(WORK[id.split("-")[0]], each))]),
    );
  },
};

function rateOf({ unit, bytes, atOnce, times }, micros) {
  const perSecond = (atOnce * times) / (micros / 1e6);
  return Math.round(unit === "MiB/s" ? (perSecond * bytes) / 1024 / 1024 : perSecond);
}
