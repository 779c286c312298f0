/**
 * SIGUSR1 of a daemon. Node opens its debugger on a TCP port when that signal comes: any process of this machine could then
 * run code in the daemon. A listener takes the place of Node's own handler, which cannot be brought back, so it stays for the
 * life of the process. It keeps nothing alive, and listeners of the program's own run beside it.
 *
 * Before the first statement of a program runs, Node's handler is there (some 20 ms). Where Node has the flag for it, our own
 * brokers are started without (platform/linux/processes/self.ts).
 */
import type Inspector from "node:inspector";
import { isDebuggerAskedFor, isModulePreloaded } from "./runtime-options.ts";

const LATER_LOOKS_MS = [5, 20, 100, 300, 1000] as const;

/** From now on SIGUSR1 is ignored. May be called again. Without effect in a worker thread, which gets no signals. */
export function ignoreDebugSignal(): void {
  if (!process.listeners("SIGUSR1").includes(ignore)) process.on("SIGUSR1", ignore);
}

function ignore(): void {}

/**
 * Closes a debugger that the signal opened before it was ignored. One that the command line or NODE_OPTIONS asks for stays, and so does
 * one that a module loaded first may have opened (`inspector.open`), as editors do to attach. Not for a process in which the
 * program itself may have opened one.
 *
 * Node opens it from a thread of its own, by an interrupt of the program and once more from the event loop, whichever finds none,
 * and on a busy machine that thread may wait for a processor. So it is looked for at once and a few times in the next second.
 */
export function closeUnaskedDebugger(): void {
  if (isDebuggerAskedFor() || isModulePreloaded()) return;
  // Undefined in a Node that was built without it: there is none to close.
  const inspector = process.getBuiltinModule("node:inspector") as typeof Inspector | undefined;
  if (inspector === undefined) return;
  const close = (): void => {
    if (inspector.url() !== undefined) inspector.close();
  };
  close();
  setImmediate(close);
  for (const afterMs of LATER_LOOKS_MS) setTimeout(close, afterMs).unref();
}

/**
 * For a process that others' code runs in, at its first moment: closes a debugger that is open already, as
 * `closeUnaskedDebugger` does. Without one it does nothing, so that one which the program opens from now on stays.
 */
export function closeEarlyDebugger(): void {
  if (process.getBuiltinModule("node:inspector")?.url() !== undefined) closeUnaskedDebugger();
}
