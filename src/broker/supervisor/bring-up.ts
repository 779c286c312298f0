/** How a backend comes under this broker: its launch gets ready, or it is taken over from an earlier broker. */
import { acquire } from "../../base/disposal-stack.ts";
import { endTree } from "../launch/kill-tree.ts";
import type { StartedLaunch } from "../launch/launcher.ts";
import type { Adoption, BackendOptions, LaunchedBackend } from "./backend.ts";
import { BackendRunner } from "./supervisor.ts";

/**
 * Waits until the launch is ready and returns the running backend. Consumes `options.resources`, also on failure.
 *
 * @throws BrokerError what made the launch fail; by then everything it started has been killed
 */
export async function bringUp(options: BackendOptions, ready: StartedLaunch["ready"]): Promise<LaunchedBackend> {
  const backend = createRunner(options);
  try {
    backend.launched();
    await backend.awaitReady(ready);
    return backend;
  } catch (error) {
    backend.giveUp();
    await backend.ended;
    throw error;
  }
}

/**
 * Takes over a running backend of an earlier broker. Consumes `options.resources`, also when it throws: then the backend goes on
 * without a broker.
 */
export function takeOver(options: BackendOptions, adoption: Adoption): LaunchedBackend {
  return acquire((held) => {
    const backend = new BackendRunner(options);
    held.defer(() => backend.letGo());
    held.defer(() => options.registry.unpublish(backend, "withdrawn"));
    backend.adopt(adoption);
    return backend;
  });
}

/** What cannot even be begun with is ended: nothing else knows of the process. */
function createRunner(options: BackendOptions): BackendRunner {
  const { resources, platform } = options;
  return acquire((held) => {
    held.defer(() => resources.cleanUp());
    held.defer(() => endTree(platform.processes, resources.process, resources.search));
    return new BackendRunner(options);
  });
}
