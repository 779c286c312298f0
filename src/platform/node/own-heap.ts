/**
 * The V8 heap of a process that lives long and mostly waits. V8 is made for programs that get faster with more memory: by
 * itself it lets the young generation grow to 32 MB and collects the old one only after tens of megabytes of garbage, and
 * when nothing is allocated any more it never collects at all.
 *
 * The flags are looked at whenever V8 decides about its heap, so they count from the moment they are set (Node 20, 22, 24).
 */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isProfileAskedFor } from "./runtime-options.ts";

export interface OwnHeap {
  /** For the rest of this process memory counts more than speed. */
  keepSmall(): void;
  /** Collects and gives free memory back, in 30 ms for a heap of 15 MB, unless little has been allocated since the last time. */
  tidy(): void;
}

/** The first keeps the young generation at 1 MB, the second collects the old one when it has grown by a third. */
const SMALL = ["--semi-space-growth-factor=1", "--optimize-for-size"];
/** Less is not worth a collection. */
const WORTH_BYTES = 1024 * 1024;

/** @param endProcess ends it at once, as _exit(2) does */
export function createOwnHeap(endProcess: (status: number) => void): OwnHeap {
  let tidyBytes = 0;
  return {
    keepSmall() {
      for (const flag of SMALL) setFlagsFromString(flag);
      if (!isProfileAskedFor()) exitWith(endProcess);
    },
    tidy() {
      if (getHeapStatistics().used_heap_size - tidyBytes < WORTH_BYTES) return;
      collect();
      tidyBytes = getHeapStatistics().used_heap_size;
    },
  };
}

/**
 * The last step of process.exit, after its listeners. Node's own joins the threads of V8. With a small heap one of them that
 * compiles (Maglev, Sparkplug) may have found no room and wait until the main thread collects, which it never does again: the
 * process would not end. Node keeps this function replaceable for packages that intercept the exit (lib/internal/process/per_thread.js).
 */
function exitWith(endProcess: (status: number) => void): void {
  (process as { reallyExit?: (status?: number) => void }).reallyExit = (status) => endProcess(Number(status ?? 0));
}

/**
 * V8 gives its `gc` only to contexts that are made while the flag is set; this one is gone with the next collection. The
 * second call finishes what the first leaves for later: it gives free pages back and shrinks the young generation. Without
 * it that happened in two runs of three, by itself and ten seconds later.
 */
function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  if (typeof gc !== "function") return;
  gc();
  gc();
}
