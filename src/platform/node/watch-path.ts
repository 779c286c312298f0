/** inotify through Node, for changes that may be missed: its user also looks from time to time. */
import { type FSWatcher, watch } from "node:fs";

/** @see Files.watch */
export function watchPath(path: string, onChange: () => void): { close(): void } | undefined {
  let watcher: FSWatcher;
  try {
    watcher = watch(path, { persistent: false }, onChange);
  } catch {
    return undefined;
  }
  // inotify limits can be reached later as well: its user looks once more, and asks for another watch.
  watcher.on("error", () => {
    watcher.close();
    onChange();
  });
  return { close: () => watcher.close() };
}
