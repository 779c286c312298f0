/** Ending all that came of a launch. It is found by its session and by the random endpoint in its environment, by no pid. */
import { launchMarker } from "../../model/launch-environment.ts";
import type { Processes, ProcessHandle } from "../../platform/ports/index.ts";

export interface LaunchSearch {
  readonly sessionId: number;
  readonly marker: string;
}

/** No process has this session. */
const NO_SESSION = -1;

/**
 * `leader`: pid of a child of ours that has not been reaped. Without it only the environment counts: the session of another
 * process may have been reused by the time we look.
 */
export function launchSearch(endpoint: string, leader = NO_SESSION): LaunchSearch {
  return { sessionId: leader, marker: launchMarker({ path: endpoint }) };
}

/**
 * SIGKILL to `process`, if there is one, and then to all that came of its launch, also to what left its session: twice,
 * because a process can fork between look and kill. The caller closes the handles, which are those of the descendants.
 */
export function killTree(
  processes: Pick<Processes, "findDescendants">,
  process: Pick<ProcessHandle, "kill"> | undefined,
  search: LaunchSearch,
): ProcessHandle[] {
  process?.kill();
  const killed: ProcessHandle[] = [];
  for (let pass = 0; pass < 2; pass++) {
    for (const descendant of processes.findDescendants(search)) {
      descendant.kill();
      killed.push(descendant);
    }
  }
  return killed;
}

/** The same for a launch whose end nothing waits for. */
export function endTree(...tree: Parameters<typeof killTree>): void {
  for (const descendant of killTree(...tree)) descendant.close();
}

/** Resolves when the process has ended. */
export function exitOf(process: Pick<ProcessHandle, "onExit">): Promise<void> {
  return new Promise((resolve) => process.onExit(resolve));
}
