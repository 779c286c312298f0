import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { BrokerError } from "./errors.ts";
import { brokerErrorFrom, coded, codedNow, errnoText, nodeErrno } from "./system-error.ts";

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it throws nothing");
}

test("a failed system call is IO_FAILED with call, path and errno", () => {
  const thrown = thrownBy(() => readFileSync("/nowhere/x"));
  const error = brokerErrorFrom(thrown);
  assert.equal(error.code, "IO_FAILED");
  assert.deepEqual(error.details, { errno: "ENOENT", syscall: "open", path: "/nowhere/x" });
  assert.equal(error.cause, thrown);
});

test("what node:os throws hides its errno one level deeper", () => {
  const thrown = Object.assign(new Error("A system error occurred"), {
    code: "ERR_SYSTEM_ERROR",
    info: { errno: -24, code: "EMFILE", message: "too many open files", syscall: "uv_os_get_passwd" },
  });
  assert.equal(nodeErrno(thrown), "EMFILE");
  assert.equal(brokerErrorFrom(thrown).details.errno, "EMFILE");
  assert.match(brokerErrorFrom(thrown).message, /ulimit -n/);
});

test("an errno is explained where its name does not say what to do", () => {
  assert.match(errnoText("EROFS"), /^EROFS \(.*read-only\)$/);
  assert.equal(errnoText("ENOENT"), "ENOENT");
});

test("files of ours that cannot be loaded, anything else, and an error of ours", () => {
  const load = (code: string): unknown => brokerErrorFrom(Object.assign(new Error("x"), { code })).code;
  assert.equal(load("ERR_DLOPEN_FAILED"), "PLATFORM_UNSUPPORTED");
  assert.equal(load("ERR_MODULE_NOT_FOUND"), "PLATFORM_UNSUPPORTED");
  assert.equal(load("ERR_INVALID_ARG_TYPE"), "INTERNAL");
  for (const odd of [undefined, null, "text", 7, {}, new TypeError("oops")])
    assert.equal(brokerErrorFrom(odd).code, "INTERNAL");
  const own = new BrokerError("ABORTED", "x");
  assert.equal(brokerErrorFrom(own), own);
});

test("what Node's permission model denies has a code of its own and names the option that allows it", () => {
  const of = (fields: object, message = "Access to this API has been restricted"): BrokerError =>
    brokerErrorFrom(Object.assign(new Error(message), { code: "ERR_ACCESS_DENIED", ...fields }));
  const file = of({ permission: "FileSystemWrite", resource: "/run/x" });
  assert.deepEqual([file.code, file.details], ["IO_FAILED", { errno: "EACCES", path: "/run/x", check: "permission" }]);
  assert.match(file.message, /--allow-fs-write=\/run\/x$/);
  assert.match(of({ permission: "FileSystemRead", resource: "" }).message, /--allow-fs-read=\*$/);
  for (const [permission, option] of [
    ["ChildProcess", "--allow-child-process"],
    ["WorkerThreads", "--allow-worker"],
  ] as const) {
    const error = of({ permission, resource: "true" });
    assert.equal(error.code, "PLATFORM_UNSUPPORTED");
    assert.ok(error.message.endsWith(`start Node with ${option}`), error.message);
  }
  const net = of(
    {},
    "connect ERR_ACCESS_DENIED Access to this API has been restricted. Use --allow-net to manage permissions.",
  );
  assert.match(net.message, /start Node with --allow-net$/);
  const off = of({ permission: "", resource: "" }, "fchmod API is disabled when Permission Model is enabled.");
  assert.equal(off.code, "PLATFORM_UNSUPPORTED");
  assert.match(off.message, /fchmod API is disabled.*start Node without --permission$/);
  const addon = brokerErrorFrom(Object.assign(new Error("x"), { code: "ERR_DLOPEN_DISABLED" }));
  assert.match(addon.message, /--allow-addons$/);
});

test("a coded call throws nothing else, now or later", async () => {
  const oops = (): never => {
    throw new TypeError("oops");
  };
  assert.throws(() => codedNow(oops), { code: "INTERNAL" });
  await assert.rejects(coded(oops), { code: "INTERNAL" });
  await assert.rejects(
    coded(async () => oops()),
    { code: "INTERNAL" },
  );
  assert.equal(
    codedNow(() => 1),
    1,
  );
  assert.equal(await coded(async () => 2), 2);
});
