/** Definitions whose binary cannot or may not be started (spec: launch §1, §13). */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { ServiceDefinitionInit } from "../../../src/model/service-definition.ts";
import { createLaunching } from "../../support/launching.ts";
import type { World } from "../../support/world.ts";

type Fields = Partial<ServiceDefinitionInit>;

interface Row {
  readonly what: string;
  /** Prepares the files and returns the definition's fields and the exact reason after the frozen prefix. */
  prepare(world: World, bin: string): { fields: Fields; reason: string };
}

/** Makes an executable file with this text. */
function program(path: string, text: string, mode = 0o755): string {
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const ROWS: readonly Row[] = [
  {
    what: "a binary that is missing",
    prepare: (_, bin) => ({
      fields: { binaryPath: join(bin, "none") },
      reason: `backend binary_path "${join(bin, "none")}" could not be canonicalized: ENOENT`,
    }),
  },
  {
    what: "a root that is missing",
    prepare: (world, bin) => ({
      fields: { binaryPath: program(join(bin, "a"), "#!/bin/sh\n"), perVersionBinaryDir: join(world.root, "none") },
      reason: `backend per_version_binary_dir "${join(world.root, "none")}" could not be canonicalized: ENOENT`,
    }),
  },
  {
    what: "no root at all",
    prepare: (_, bin) => ({
      fields: { binaryPath: program(join(bin, "a"), "#!/bin/sh\n"), perVersionBinaryDir: "" },
      reason: "backend per_version_binary_dir is empty",
    }),
  },
  {
    what: "a binary outside the root",
    prepare: (_, bin) => ({
      fields: { binaryPath: "/bin/true" },
      reason: `backend binary "${realpathSync("/bin/true")}" is outside per-version root "${bin}"`,
    }),
  },
  {
    what: "a binary in a directory whose name only begins like the root's",
    prepare: (_, bin) => {
      mkdirSync(`${bin}2`);
      return {
        fields: { binaryPath: program(join(`${bin}2`, "a"), "#!/bin/sh\n") },
        reason: `backend binary "${bin}2/a" is outside per-version root "${bin}"`,
      };
    },
  },
  {
    what: "a link in the root that leads out of it",
    prepare: (_, bin) => {
      symlinkSync("/bin/true", join(bin, "link"));
      return {
        fields: { binaryPath: join(bin, "link") },
        reason: `backend binary "${realpathSync("/bin/true")}" is outside per-version root "${bin}"`,
      };
    },
  },
  {
    what: "a link that leads to itself",
    prepare: (_, bin) => {
      symlinkSync(join(bin, "loop"), join(bin, "loop"));
      return {
        fields: { binaryPath: join(bin, "loop") },
        reason: `backend binary_path "${join(bin, "loop")}" could not be canonicalized: ELOOP`,
      };
    },
  },
  {
    what: "a file that is not executable",
    prepare: (_, bin) => {
      const path = program(join(bin, "plain"), "#!/bin/sh\n", 0o600);
      return { fields: { binaryPath: path }, reason: `backend binary "${path}" is not executable: EACCES` };
    },
  },
  {
    what: "a directory",
    prepare: (_, bin) => {
      mkdirSync(join(bin, "dir"));
      return {
        fields: { binaryPath: join(bin, "dir") },
        reason: `backend binary "${join(bin, "dir")}" is not a regular file`,
      };
    },
  },
  {
    what: "a text file without an interpreter line, which is not run as shell commands",
    prepare: (world, bin) => ({
      fields: { binaryPath: program(join(bin, "text"), `echo ran > ${join(world.root, "ran")}\n`) },
      reason: "backend daemon spawn failed: ENOEXEC",
    }),
  },
  {
    what: "an empty file",
    prepare: (_, bin) => ({
      fields: { binaryPath: program(join(bin, "empty"), "") },
      reason: "backend daemon spawn failed: ENOEXEC",
    }),
  },
  {
    what: "a script whose interpreter is missing",
    prepare: (_, bin) => ({
      fields: { binaryPath: program(join(bin, "lost"), "#!/no/such/interpreter -x\n") },
      reason:
        "backend daemon spawn failed: ENOENT: there is no interpreter /no/such/interpreter, which its first line names",
    }),
  },
  {
    what: "a working directory that is missing",
    prepare: (world, bin) => ({
      fields: {
        binaryPath: program(join(bin, "ok"), "#!/bin/sh\n"),
        labels: { "exec.cwd": join(world.root, "gone") },
      },
      reason: `backend daemon spawn failed: ENOENT: there is no working directory ${join(world.root, "gone")}`,
    }),
  },
  {
    what: "a working directory that is a file",
    prepare: (_, bin) => {
      const path = program(join(bin, "ok"), "#!/bin/sh\n");
      return {
        fields: { binaryPath: path, labels: { "exec.cwd": path } },
        reason: "backend daemon spawn failed: ENOTDIR",
      };
    },
  },
  {
    what: "arguments that are too long for the kernel",
    prepare: (_, bin) => ({
      fields: {
        binaryPath: program(join(bin, "ok"), "#!/bin/sh\n"),
        labels: { "exec.args": JSON.stringify(["x".repeat(140_000)]) },
      },
      reason: "backend daemon spawn failed: E2BIG",
    }),
  },
];

test("a binary that may not or cannot be started is refused with the reason of the step, and nothing is left", async (t) => {
  const launching = await createLaunching(t);
  const { world } = launching;
  for (const [index, row] of ROWS.entries()) {
    for (const bind of ["broker", "backend"]) {
      await t.test(`${row.what} (exec.bind = ${bind})`, async () => {
        const bin = join(world.root, `d${index}${bind}`);
        mkdirSync(bin);
        const { fields, reason } = row.prepare(world, bin);
        const serviceName = `row-${index}-${bind}`;
        world.define({
          serviceName,
          perVersionBinaryDir: bin,
          ...fields,
          labels: { ...fields.labels, "exec.bind": bind },
        });
        const refused = await launching.refused(serviceName);
        assert.equal(refused.reason, `backend spawn failed: ${reason}`);
        assert.equal(refused.code, 3);
        assert.equal(refused.retryAfterMs, 1000n);
        assert.equal(refused.details.error, "SPAWN_FAILED");
        assert.deepEqual(launching.leftovers(), []);
      });
    }
  }
  await t.test("no text file was run by a shell", () => {
    assert.throws(() => realpathSync(join(world.root, "ran")), { code: "ENOENT" });
  });
});
