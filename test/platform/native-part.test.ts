/** The package as it is when npm has left out what is optional. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "../support/world.ts";

const CONNECT = `
  const { connect } = await import(process.argv[1]);
  const error = await connect({ service: "demo", version: "1.0.0" }).catch((error) => error);
  console.log(JSON.stringify([error.code, error.reason]));
`;

test("without its native part a client says which package is missing", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "native-"));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const path of ["package.json", "dist/client", "dist/base"])
    cpSync(join(PROJECT, path), join(directory, path), { recursive: true });
  const client = join(directory, "dist/client/index.js");
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", CONNECT, client], {
    encoding: "utf8",
    env: { ...process.env, XDG_RUNTIME_DIR: directory, RUNNING_PROCESS_BROKER_AUTOSTART: "0" },
  });
  const [code, reason] = JSON.parse(stdout || JSON.stringify([stderr, ""]));
  assert.equal(code, "PLATFORM_UNSUPPORTED");
  assert.match(reason, new RegExp(`optional dependency @koromix/koffi-${process.platform}-${process.arch}`));
});
