/** Looking again and again at files that grow, until nobody reads the output any more or the process is ended. */
import type { CliContext } from "./context.ts";

/** Where the kernel does not tell of changes (network file systems, exhausted inotify limits) this is how late we are. */
const LOOK_MS = 250;

/** Calls `look` at once and whenever something in `directory` changes. Resolves when the output has no reader left. */
export async function follow(context: CliContext, directory: string, look: () => void): Promise<void> {
  const { clock, files } = await context.platform();
  const { stdout } = context.io;
  let gone = false;
  let wake = (): void => {};
  const end = (): void => {
    gone = true;
    wake();
  };
  stdout.once("error", end).once("close", end);
  let watcher = files.watch(directory, () => wake());
  try {
    while (!gone) {
      look();
      await new Promise<void>((resolve) => {
        const timer = clock.schedule(LOOK_MS, resolve);
        wake = () => {
          timer.cancel();
          resolve();
        };
      });
      watcher ??= files.watch(directory, () => wake());
    }
  } finally {
    watcher?.close();
    stdout.off("error", end).off("close", end);
  }
}
