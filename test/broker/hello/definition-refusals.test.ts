/** Hellos for services whose definition is missing, unusable or not to be trusted, or forbids the version (spec: server §8, §9). */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { encodeMessage } from "../../../src/wire/codec.ts";
import { ServiceDefinitionSchema } from "../../../src/wire/messages.ts";
import { createLaunching, logLines, makeFifo } from "../../support/launching.ts";

const SERVICE_UNKNOWN = 2;
const SPAWN_FAILED = 3;
const VERSION_BLOCKED = 8;

test("a definition that is missing, broken or of somebody else makes its service unknown, and launches nothing", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  const path = join(world.definitions, "svc.servicedef");
  const declares = (init: object): void =>
    writeFileSync(
      path,
      encodeMessage(ServiceDefinitionSchema, { serviceName: "svc", binaryPath: "/bin/true", ...init }),
    );
  const instead = (make: () => void) => (): void => {
    rmSync(path);
    make();
  };
  const LOAD = "service definition could not be loaded: ";
  const rows: [name: string, spoil: () => void, reason: string | RegExp][] = [
    ["removed", () => rmSync(path), "service definition was not found"],
    ["torn", () => truncateSync(path, readFileSync(path).length - 3), /protobuf decode failed/],
    ["empty", () => truncateSync(path, 0), /service name "" is empty/],
    ["larger than any definition", () => truncateSync(path, 256 * 1024 + 1), /larger than 262144 bytes/],
    [
      "renamed",
      () => declares({ serviceName: "other" }),
      `${LOAD}service-definition requested "svc" but file declares "other"`,
    ],
    ["declares a bad name", () => declares({ serviceName: "Svc" }), /upper-case/],
    [
      "without a binary",
      () => declares({ binaryPath: "" }),
      `${LOAD}service-definition binary_path is invalid: "" (must not be empty)`,
    ],
    [
      "relative binary",
      () => declares({ binaryPath: "bin/x" }),
      `${LOAD}service-definition binary_path is invalid: "bin/x" (must be absolute)`,
    ],
    [
      "relative allow root",
      () => declares({ perVersionBinaryDir: "x" }),
      /per_version_binary_dir is invalid: "x" \(must be absolute\)/,
    ],
    ["bad floor", () => declares({ minVersion: "1.2" }), /min_version "1\.2"/],
    ["bad allow-list", () => declares({ versionAllowList: ["1.2.3", "x"] }), /version_allow_list entry "x"/],
    [
      "unknown isolation",
      () => declares({ isolation: 7 }),
      `${LOAD}service-definition isolation is invalid: unknown value 7`,
    ],
    [
      "instance for private",
      () => declares({ explicitInstance: "x" }),
      /isolation is invalid: explicit_instance must be empty/,
    ],
    [
      "explicit without instance",
      () => declares({ isolation: 2 }),
      /isolation is invalid: explicit_instance is required/,
    ],
    ["a fifo", instead(() => makeFifo(path)), /cannot be trusted: it is a FIFO, a regular file is expected/],
    ["a directory", instead(() => mkdirSync(path)), /cannot be trusted: it is a directory, a regular file is expected/],
    ["a link to nothing", instead(() => symlinkSync("nothing", path)), "service definition was not found"],
  ];
  // Only root can give a file away.
  if (process.getuid?.() === 0)
    rows.push(["of another user", () => chownSync(path, 65534, 65534), /cannot be trusted: it belongs to uid 65534/]);
  for (const [name, spoil, reason] of rows) {
    await t.test(name, async () => {
      rmSync(path, { recursive: true, force: true });
      world.define({ serviceName: "svc", binary: "obeys.mjs" });
      spoil();
      const refused = await launching.refused("svc");
      assert.deepEqual([refused.code, refused.retryAfterMs], [SERVICE_UNKNOWN, 0n]);
      if (typeof reason === "string") assert.equal(refused.reason, reason);
      else {
        assert.ok(refused.reason.startsWith(LOAD), refused.reason);
        assert.match(refused.reason, reason);
      }
    });
  }
  assert.deepEqual(launching.leftovers(), []);
  // Mended, it is served: nothing of the above was remembered.
  rmSync(path, { recursive: true, force: true });
  world.define({ serviceName: "svc", binary: "obeys.mjs" });
  await launching.negotiated("svc");
  assert.equal(logLines(launching.broker).filter((line) => line.type === "backend-launching").length, 1);
});

test("no definition is believed in a directory that others can enter, or that belongs to them", async (t) => {
  const launching = await createLaunching(t);
  const { definitions } = launching.world;
  assert.equal((await launching.refused("svc")).reason, "service definition was not found");
  launching.world.define({ serviceName: "svc", binary: "obeys.mjs" });
  const insecure = async (): Promise<void> => {
    const refused = await launching.refused("svc");
    assert.equal(refused.code, SERVICE_UNKNOWN);
    assert.ok(refused.reason.startsWith("service definition could not be loaded: "), refused.reason);
    assert.match(refused.reason, /insecure permissions/);
  };
  for (const mode of [0o755, 0o710, 0o701, 0o777]) {
    chmodSync(definitions, mode);
    await insecure();
  }
  chmodSync(definitions, 0o700);
  if (process.getuid?.() === 0) {
    chownSync(definitions, 65534, 65534);
    assert.equal((await launching.refused("svc")).code, SERVICE_UNKNOWN);
    chownSync(definitions, 0, 0);
  }
  const elsewhere = `${definitions}-elsewhere`;
  renameSync(definitions, elsewhere);
  symlinkSync(elsewhere, definitions);
  assert.equal((await launching.refused("svc")).code, SERVICE_UNKNOWN);
  rmSync(definitions);
  renameSync(elsewhere, definitions);
  assert.deepEqual(launching.leftovers(), []);
  await launching.negotiated("svc");
});

test("versions below the floor and outside the allow-list are blocked for 30 s and launch nothing", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  // Not launchable: what passes the policy is refused for that, and costs no process.
  const define = (serviceName: string, minVersion: string, versionAllowList: string[] = []): void =>
    world.define({ serviceName, binaryPath: "/nonexistent/x", minVersion, versionAllowList });
  define("floor", "1.10.0");
  define("list", "", ["1.2.3", "1.2.3-rc.1", "01.2.4"]);
  define("both", "1.0.0", ["0.9.0", "1.1.0"]);
  define("huge", "99999999999999999999.0.0");
  define("largest", "18446744073709551615.0.0");
  const FLOOR = "wanted_version is below min_version";
  const LIST = "wanted_version is not in version_allow_list";
  const rows: [service: string, version: string, reason: string | undefined][] = [
    ["floor", "1.9.99", FLOOR],
    ["floor", "1.2.0", FLOOR],
    ["floor", "0.99.99", FLOOR],
    ["floor", "1.10.0", undefined],
    ["floor", "1.10.0-rc.1", undefined],
    ["floor", "01.010.00", undefined],
    ["floor", "1.9.0-zz", FLOOR],
    ["floor", "2.0.0", undefined],
    // A component that no u64 holds: the floor is not looked at.
    ["floor", "0.0.18446744073709551616", undefined],
    ["floor", "0.0.18446744073709551615", FLOOR],
    ["huge", "1.0.0", undefined],
    ["largest", "18446744073709551614.9.9", FLOOR],
    ["largest", "18446744073709551615.0.0", undefined],
    ["list", "1.2.3", undefined],
    ["list", "1.2.3-rc.1", undefined],
    ["list", "1.2.3-rc.2", LIST],
    ["list", "1.2.4", LIST],
    ["list", "01.2.4", undefined],
    ["both", "0.9.0", FLOOR],
    ["both", "0.8.0", FLOOR],
    ["both", "1.2.0", LIST],
    ["both", "1.1.0", undefined],
  ];
  for (const [service, version, reason] of rows) {
    const refused = await launching.refused(service, version);
    if (reason === undefined) assert.equal(refused.code, SPAWN_FAILED, `${service} ${version}: ${refused.reason}`);
    else {
      const got = [service, version, refused.code, refused.reason, refused.retryAfterMs];
      assert.deepEqual(got, [service, version, VERSION_BLOCKED, reason, 30_000n]);
    }
  }
  const passed = rows
    .filter(([, , reason]) => reason === undefined)
    .map(([service, version]) => `${service} ${version}`);
  const launched = logLines(launching.broker).filter((line) => line.type === "backend-launching");
  assert.deepEqual(
    launched.map((line) => `${line.service} ${line.version}`),
    passed,
  );
});
