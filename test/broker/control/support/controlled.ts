/** A world with one broker, and backends whose control channels are what a test is about. */
import { join } from "node:path";
import type { TestContext } from "node:test";
import { answerOf, createHanding, type Handing, PROTOCOL } from "../../../support/handing.ts";
import { launchingIn } from "../../../support/launching.ts";
import type { Finished } from "../../../support/world.ts";
import { rpb } from "../../../support/world-cli.ts";

export interface Controlled extends Handing {
  /** Defines and launches a service on fixtures/control-obeys.mjs, or on another fixture; its process id. */
  launch(service: string, env?: Record<string, string>, binary?: string): Promise<number>;
  /** Gives an order to the backend of a service, over a connection of its own. */
  order(service: string, text: string): Promise<string>;
  release(path: string, ...args: string[]): Promise<Finished>;
  file(name: string): string;
}

export async function createControlled(t: TestContext, options: { dies?: boolean } = {}): Promise<Controlled> {
  const handing = await createHanding(t, options);
  const { world, broker } = handing;
  return {
    ...handing,
    file: (name) => join(world.root, name),
    async launch(serviceName, env = {}, binary = "control-obeys.mjs") {
      const variables = { GO: join(world.root, "go"), JOURNAL: join(world.root, `${serviceName}.journal`), ...env };
      world.define({
        serviceName,
        binary,
        labels: Object.fromEntries(Object.entries(variables).map(([name, value]) => [`exec.env.${name}`, value])),
      });
      await launchingIn(world, broker).negotiated(serviceName);
      return launchingIn(world, broker).pids(serviceName)[0] ?? 0;
    },
    async order(service, text) {
      const session = await handing.open(service, { adopt: false });
      try {
        return answerOf(await session.request(PROTOCOL, Buffer.from(text)));
      } finally {
        await session.close();
      }
    },
    release: (path, ...args) => rpb(world, ["release-handles", path, "--socket", broker.endpoint, ...args]),
  };
}

/** Repeats `look` until it gives something; each try gives others their turn. */
export async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
