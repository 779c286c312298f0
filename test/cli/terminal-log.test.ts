/**
 * A broker's log in the terminal that it was started in. `rpb serve` closes what it inherited, and Node, which prints a warning of its
 * own in the second tick, opens the terminal anew for it: a descriptor that must not be taken for an inherited one. It was, the lock
 * file got its number, and the log went into the lock file.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { createWorld, RPB } from "../support/world.ts";

/**
 * Runs a command with stdin and stderr in a terminal of its own, and stdout in the null device, until the terminal shows the marker, then asks for its end with SIGTERM. Prints the exit
 * status, what the terminal showed, and what the file held at the marker, as JSON.
 */
const IN_TERMINAL = `
import json, os, pty, signal, sys
marker, file, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    # Or its stream, which is opened after what is wrongly closed, would get the number, and lead to the same terminal.
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    os.execv(command[0], command)
shown, held = b"", None
while True:
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
    if held is None and marker.encode() in shown:
        with open(file) as opened:
            held = opened.read()
        os.kill(pid, signal.SIGTERM)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({"pid": pid, "status": status, "shown": shown.decode(), "held": held}))
`;

interface Shown {
  readonly pid: number;
  readonly status: number;
  readonly shown: string;
  /** `null`: the marker never came. */
  readonly held: string | null;
}

/** Node 20 has the permission model by another name, in which the C library cannot be called. */
const HAS_PERMISSIONS = process.allowedNodeEnvironmentFlags.has("--permission");
/** Node 25 asks for it. */
const NET = process.allowedNodeEnvironmentFlags.has("--allow-net") ? "--allow-net" : "";
const PERMISSIONS = `--permission --allow-fs-read=* --allow-fs-write=* --allow-addons --allow-child-process ${NET}`;

interface Start {
  readonly env: Record<string, string>;
  /** Node warns as soon as it runs, on a stream that it opens for that. */
  readonly warns?: boolean;
  readonly skip?: string | false;
}

const STARTS: Readonly<Record<string, Start>> = {
  "under the permission model, of which Node warns": {
    env: { NODE_OPTIONS: PERMISSIONS },
    warns: true,
    skip: !HAS_PERMISSIONS && "this Node has no --permission",
  },
  // Not all releases of Node read it at the start.
  "with certificates that are not there": { env: { NODE_EXTRA_CA_CERTS: "/nonexistent.pem" } },
  "without a warning of Node": { env: {} },
};

for (const [how, { env, warns = false, skip = false }] of Object.entries(STARTS))
  test(`rpb serve in a terminal, ${how}: the log is in the terminal, and the lock file has its own text`, {
    skip,
  }, async (t) => {
    const world = await createWorld(t);
    const endpoint = join(world.runtime, "b.sock");
    const serve = [process.execPath, RPB, "serve", "--log-format", "json", "--socket", endpoint];
    // Ends a broker whose marker never comes.
    const words = ["-c", IN_TERMINAL, `"broker-started"`, `${endpoint}.lock`, ...serve, "--idle-exit", "5s"];
    const { code, stdout, stderr } = await world.run("python3", words, { env });
    assert.equal(code, 0, stderr);
    const { pid, status, shown, held } = JSON.parse(stdout) as Shown;
    assert.equal(status, 0, shown);
    if (warns) assert.match(shown, /Warning: /);
    const events = shown.split("\r\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line).type] : []));
    assert.equal(events[0], "broker-started", shown);
    assert.equal(events.at(-1), "broker-stopped", shown);
    assert.equal(held, `${pid}\n`);
  });
