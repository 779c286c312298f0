import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hash16 } from "../../model/places.ts";
import { loadPlatform } from "../../platform/platform.ts";
import { sweepEndpoints } from "./sweep-endpoints.ts";

const LONG_AGO = new Date(0);

function nameOf(digit: string, kind = "be"): string {
  return `rpb-v1-0123456789abcdef-${kind}-${digit.repeat(32)}.sock`;
}

test("only an old socket of a backend that nobody listens on is removed, with its lock, and what was not written to the end", async (t) => {
  const platform = await loadPlatform();
  const directory = mkdtempSync(`${tmpdir()}/`);
  t.after(() => rmSync(directory, { recursive: true }));
  const bind = (name: string) => platform.transport.listen(join(directory, name));
  const age = (name: string): void => utimesSync(join(directory, name), LONG_AGO, LONG_AGO);

  const [dead, young, live, broker, file] = [
    nameOf("1"),
    nameOf("2"),
    nameOf("3"),
    "rpb-v1-0123456789abcdef-shared.sock",
    nameOf("4"),
  ];
  for (const name of [dead, young, broker]) bind(name).close();
  const listener = bind(live);
  t.after(() => listener.close());
  writeFileSync(join(directory, file), "no socket");
  writeFileSync(join(directory, `${dead}.lock`), "");
  for (const name of [dead, live, broker, file]) age(name);
  // Its number is ours, and it is older than we are: an earlier owner of the number was killed.
  const torn = `.${live}.manifest.tmp-${process.pid}-0123456789ab`;
  writeFileSync(join(directory, torn), "half a record");
  age(torn);

  assert.equal(await sweepEndpoints(platform, directory), 1);
  assert.deepEqual(readdirSync(directory).sort(), [young, live, broker, file].sort());
});

test("a hashed socket is removed when it is old, no program has it, no broker's name leads to it, and its lock is free", async (t) => {
  const platform = await loadPlatform();
  const directory = mkdtempSync(`${tmpdir()}/`);
  t.after(() => rmSync(directory, { recursive: true }));
  const bareName = "rpb-v1-0123456789abcdef-svc-demo";
  const [dead, held, broker] = ["0".repeat(16), "1".repeat(16), hash16(bareName)].map((hash) => `${hash}.sock`);
  for (const name of [dead, held, broker] as string[]) {
    platform.transport.listen(join(directory, name)).close();
    utimesSync(join(directory, name), LONG_AGO, LONG_AGO);
  }
  symlinkSync(broker as string, join(directory, `${bareName}.sock`));
  const lock = platform.locks.tryAcquire(join(directory, `${held}.lock`));
  t.after(() => lock?.release());
  assert.equal(sweepEndpoints(platform, directory), 1);
  assert.deepEqual(readdirSync(directory).sort(), [`${bareName}.sock`, broker, held, `${held}.lock`].sort());
});
