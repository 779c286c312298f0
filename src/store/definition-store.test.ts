import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { type BrokerErrorCode, hasCode } from "../base/errors.ts";
import { createServiceDefinition, encodeServiceDefinition } from "../model/service-definition.ts";
import { loadPlatform } from "../platform/platform.ts";
import { MAX_DEFINITION_BYTES } from "../wire/limits.ts";
import { createDefinitionStore, type DefinitionStore } from "./definition-store.ts";

const { files } = await loadPlatform();
const root = mkdtempSync(join(tmpdir(), "rpbd-"));
after(() => rmSync(root, { recursive: true, force: true }));

let counter = 0;
let directory: string;
let store: DefinitionStore;

beforeEach(() => {
  directory = join(root, `d${counter++}`);
  store = createDefinitionStore(files, directory);
});

afterEach(() => store.close());

describe("a saved definition", () => {
  test("is loaded as it was, from a private file in a private directory", () => {
    const path = store.save(definition("svc", { labels: { "exec.bind": "broker" } }));
    assert.equal(path, join(directory, "svc.servicedef"));
    assert.equal(store.pathOf("svc"), path);
    assert.deepEqual(store.load("svc"), definition("svc", { labels: { "exec.bind": "broker" } }));
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readFileSync(path), Buffer.from(encodeServiceDefinition(store.load("svc"))));
  });

  test("replaces the one before, also for a store that has read that one", () => {
    store.save(definition("svc"));
    const reader = createDefinitionStore(files, directory);
    assert.equal(reader.load("svc").minVersion, "");
    store.save(definition("svc", { minVersion: "2.0.0" }));
    assert.equal(reader.load("svc").minVersion, "2.0.0");
  });

  test("is decoded once as long as its file stays the same", () => {
    store.save(definition("svc"));
    assert.equal(store.load("svc"), store.load("svc"));
  });

  test("is read again after a change in place, even one that keeps its length", () => {
    const path = store.save(definition("svc", { minVersion: "1.0.0" }));
    utimesSync(path, 1, 1);
    store.load("svc");
    writeFileSync(path, encodeServiceDefinition(definition("svc", { minVersion: "2.0.0" })));
    assert.equal(store.load("svc").minVersion, "2.0.0");
  });

  test("can be removed once", () => {
    store.save(definition("svc"));
    store.load("svc");
    assert.equal(store.remove("svc"), true);
    assert.equal(store.remove("svc"), false);
    assert.throws(() => store.load("svc"), coded("DEFINITION_NOT_FOUND"));
  });
});

describe("a store that is told what changes sees", () => {
  beforeEach(() => {
    store = createDefinitionStore(files, directory, { watch: true });
    store.save(definition("svc", { minVersion: "1.0.0" }));
    // The second one notes that the file is the one that was read.
    store.load("svc");
    store.load("svc");
  });

  const NEWER = encodeServiceDefinition(definition("svc", { minVersion: "2.0.0" }));

  test("a definition that was replaced", () => {
    createDefinitionStore(files, directory).save(definition("svc", { minVersion: "2.0.0" }));
    assert.equal(store.load("svc").minVersion, "2.0.0");
  });

  test("one that was written in place", () => {
    writeFileSync(store.pathOf("svc"), NEWER);
    assert.equal(store.load("svc").minVersion, "2.0.0");
  });

  test("one that a link leads to, wherever that is", () => {
    const elsewhere = `${directory}-elsewhere`;
    renameSync(store.pathOf("svc"), elsewhere);
    symlinkSync(elsewhere, store.pathOf("svc"));
    for (let times = 0; times < 3; times++) assert.equal(store.load("svc").minVersion, "1.0.0");
    writeFileSync(elsewhere, NEWER);
    assert.equal(store.load("svc").minVersion, "2.0.0");
  });

  test("one that is gone, also with its whole directory, and comes back", () => {
    renameSync(directory, `${directory}-away`);
    assert.throws(() => store.load("svc"), coded("DEFINITION_NOT_FOUND"));
    mkdirSync(directory, { mode: 0o700 });
    assert.throws(() => store.load("svc"), coded("DEFINITION_NOT_FOUND"));
    writeFileSync(store.pathOf("svc"), NEWER);
    assert.equal(store.load("svc").minVersion, "2.0.0");
  });

  test("a directory that was opened to others", () => {
    chmodSync(directory, 0o770);
    assert.throws(() => store.load("svc"), coded("DIRECTORY_INSECURE"));
    assert.throws(() => store.load("svc"), coded("DIRECTORY_INSECURE"));
  });

  test("as much once it is closed", () => {
    store.close();
    store.load("svc");
    writeFileSync(store.pathOf("svc"), NEWER);
    assert.equal(store.load("svc").minVersion, "2.0.0");
  });
});

describe("loading is refused", () => {
  test("without a directory, as if there was no such definition", () => {
    assert.throws(
      () => store.load("svc"),
      (error) => hasCode(error, "DEFINITION_NOT_FOUND") && error.message.includes("rpb service add svc"),
    );
    assert.equal(store.remove("svc"), false);
    assert.deepEqual(store.list(), []);
  });

  for (const mode of [0o750, 0o705, 0o710, 0o777]) {
    test(`from a directory with mode ${mode.toString(8)}, before the name is looked at`, () => {
      store.save(definition("svc"));
      chmodSync(directory, mode);
      for (const use of [
        () => store.load("Bad Name"),
        () => store.load("svc"),
        () => store.list(),
        () => store.remove("svc"),
        () => store.save(definition("svc")),
      ]) {
        assert.throws(use, coded("DIRECTORY_INSECURE"));
      }
    });
  }

  test("from a directory that became insecure after the definition was cached", () => {
    store.save(definition("svc"));
    store.load("svc");
    chmodSync(directory, 0o770);
    assert.throws(() => store.load("svc"), coded("DIRECTORY_INSECURE"));
  });

  test("through a link to a directory", () => {
    store.save(definition("svc"));
    symlinkSync(directory, `${directory}-link`);
    assert.throws(() => createDefinitionStore(files, `${directory}-link`).load("svc"), coded("DIRECTORY_INSECURE"));
  });

  test("from somebody else's directory or file", {
    skip: process.geteuid?.() !== 0 && "needs root to give files away",
  }, () => {
    const path = store.save(definition("svc"));
    chownSync(path, 12345, 12345);
    assert.throws(() => store.load("svc"), coded("FILE_INSECURE"));
    chownSync(directory, 12345, 12345);
    assert.throws(() => store.load("svc"), coded("DIRECTORY_INSECURE"));
  });

  test("for a name that is none, and nothing outside the directory is touched", () => {
    mkdirSync(directory, { mode: 0o700 });
    const outside = join(root, "outside.servicedef");
    writeFileSync(outside, encodeServiceDefinition(definition("outside")));
    for (const name of ["", "../outside", "A", "a/b", "a\0"]) {
      assert.throws(() => store.load(name), coded("NAME_INVALID"));
      assert.throws(() => store.remove(name), coded("NAME_INVALID"));
    }
    assert.ok(statSync(outside).isFile());
  });

  test("for a file of another service", () => {
    store.save(definition("svc"));
    renameSync(store.pathOf("svc"), store.pathOf("other"));
    assert.throws(
      () => store.load("other"),
      (error) => hasCode(error, "DEFINITION_INVALID") && error.details.check === "service_name",
    );
  });

  test("for bytes that are no definition, a torn one included", () => {
    const path = store.save(definition("svc"));
    const whole = readFileSync(path);
    for (const bytes of [whole.subarray(0, whole.length - 1), Buffer.from("ffff", "hex")]) {
      writeFileSync(path, bytes);
      assert.throws(
        () => store.load("svc"),
        (error) => hasCode(error, "DEFINITION_MALFORMED") && error.details.path === path,
      );
    }
  });

  test("for an empty file, which lacks its name", () => {
    writeFileSync(store.save(definition("svc")), "");
    assert.throws(() => store.load("svc"), coded("NAME_INVALID"));
  });

  test("for a file above the limit, while one of exactly the limit is read", () => {
    const base = encodeServiceDefinition(definition("svc", { labels: { pad: "" } })).length;
    // The label's value gets its tag and length; its entry's length grows from one byte to three.
    const padded = (length: number) =>
      encodeServiceDefinition(definition("svc", { labels: { pad: "x".repeat(length) } }));
    const fill = MAX_DEFINITION_BYTES - base - (padded(100_000).length - base - 100_000);
    const path = store.save(definition("svc"));
    assert.equal(padded(fill).length, MAX_DEFINITION_BYTES);
    writeFileSync(path, padded(fill));
    assert.equal(store.load("svc").labels.pad?.length, fill);
    writeFileSync(path, padded(fill + 1));
    assert.throws(
      () => store.load("svc"),
      (error) => hasCode(error, "DEFINITION_MALFORMED") && error.message.includes(`${MAX_DEFINITION_BYTES}`),
    );
  });

  test("for what is not a file", () => {
    mkdirSync(store.pathOf("svc"), { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
    assert.throws(() => store.load("svc"), coded("FILE_INSECURE"));
  });
});

test("listing shows every definition file by name, the unusable ones with their error, and nothing else", () => {
  store.save(definition("b"));
  store.save(definition("a"));
  writeFileSync(store.pathOf("torn"), Buffer.from("ff", "hex"));
  writeFileSync(store.pathOf("Bad"), "");
  writeFileSync(join(directory, "notes.txt"), "");
  writeFileSync(join(directory, ".a.servicedef.tmp-1-x"), "");
  const shown = store.list().map((entry) => {
    assert.equal(entry.path, store.pathOf(entry.service));
    return [entry.service, "error" in entry ? entry.error.code : entry.definition.serviceName];
  });
  assert.deepEqual(shown, [
    ["Bad", "NAME_INVALID"],
    ["a", "a"],
    ["b", "b"],
    ["torn", "DEFINITION_MALFORMED"],
  ]);
});

function definition(serviceName: string, more: { minVersion?: string; labels?: Record<string, string> } = {}) {
  return createServiceDefinition({ serviceName, binaryPath: "/opt/svc", ...more });
}

function coded(code: BrokerErrorCode): (error: unknown) => boolean {
  return (error) => hasCode(error, code);
}
