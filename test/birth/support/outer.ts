/** Descriptors that a program is started with although they are none of its business, and who has them. */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { processEnd } from "../../support/launching.ts";
import { commandLine, descriptorsIn } from "../../support/process-facts.ts";
import type { World } from "../../support/world.ts";

export interface Outer {
  /** `exec bash -c` arguments in front of a command: bash opens everything and becomes the command. */
  readonly shell: readonly string[];
  /** Whatever of it a process has open, as `NUMBER TARGET`. */
  heldBy(pid: number): string[];
  /** Resolves when the reader of the pipe has seen its end. */
  readerEnded(): Promise<void>;
  /** Can the lock be had that the holder of descriptor 200 has? */
  isLockFree(): boolean;
}

/** Numbers that a shell script may use: files by 3, 9, 17, 63 and 200, a pipe by 10, a directory by 255, a terminal by 11. */
export function outerDescriptors(world: World): Outer {
  const directory = join(world.root, "outer");
  mkdirSync(directory);
  const file = (name: number): string => `${name}>"${directory}/${name}"`;
  const script = `exec ${[3, 9, 17, 63, 200].map(file).join(" ")} 10> >(cat >"${directory}/piped") 255<"${directory}" 11<>/dev/ptmx
readlink /proc/self/fd/10 >"${directory}/pipe"
flock -n 200 || exit 98
exec "$@"`;
  return {
    shell: ["bash", "-c", script, "bash"],
    heldBy(pid) {
      const pipe = world.platform.files.read(join(directory, "pipe"), 100)?.bytes.toString().trim();
      return descriptorsIn(pid)
        .filter(({ target }) => target.startsWith(directory) || target === pipe || target.includes("/dev/ptmx"))
        .map(({ fd, target }) => `${fd} ${target}`);
    },
    async readerEnded() {
      for (const pid of world.processes()) if (commandLine(pid).startsWith("cat ")) await processEnd(world, pid);
    },
    isLockFree: () => spawnSync("flock", ["-n", join(directory, "200"), "true"]).status === 0,
  };
}

/** Empty when it is not open. */
export function targetOf(pid: number, fd: number): string {
  return descriptorsIn(pid).find((each) => each.fd === fd)?.target ?? "";
}
