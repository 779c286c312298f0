// What a start from nothing cannot do without: Nodes that load nothing of ours, each started by the one before, until
// the last one says a word. Argument: how many more there are to start.
import { spawn } from "node:child_process";

const more = Number(process.argv[2]);
if (more > 0) {
  const next = spawn(process.execPath, [process.argv[1], String(more - 1)], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => next.stdout.once("data", resolve));
}
process.stdout.write("here\n", () => process.exit());
