/** What a client loads when it cannot be loaded: a module is never freed, so each copy of it stays for the process's life. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { PROJECT } from "../support/world.ts";

const RUNTIME = join(PROJECT, "dist/client/runtime.js");

/** Forty calls of a client in a process of its own, four at a time: their codes, and the modules that were imported. */
async function callAgain(t: TestContext, { flags = [], broken = "" }: { flags?: string[]; broken?: string }) {
  const directory = mkdtempSync(join(tmpdir(), "ld-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const seen = join(directory, "seen");
  const hooks = `
    import { appendFileSync } from "node:fs";
    export async function load(url, context, next) {
      if (url.includes("client/runtime")) {
        appendFileSync(${JSON.stringify(seen)}, url + "\\n");
        ${broken}
      }
      return next(url, context);
    }`;
  const source = `
    import { register } from "node:module";
    register("data:text/javascript," + ${JSON.stringify(encodeURIComponent(hooks))});
    const { connect } = await import(${JSON.stringify(join(PROJECT, "dist/client/index.js"))});
    const options = { service: "demo", version: "1.0.0", broker: { endpoint: ${JSON.stringify(join(directory, "b.sock"))}, autoStart: false } };
    const codes = [];
    for (let round = 0; round < 10; round++)
      await Promise.all(Array.from({ length: 4 }, () => connect(options).catch(({ code }) => codes.push(code))));
    console.log(JSON.stringify(codes));`;
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, "--input-type=module", "-e", source]);
  const codes = JSON.parse(stdout) as string[];
  assert.equal(codes.length, 40);
  const urls = existsSync(seen) ? readFileSync(seen, "utf8").trimEnd().split("\n") : [];
  return { codes: [...new Set(codes)], urls: [...new Set(urls)] };
}

test("a client that may not load native code imports one copy, however often it is called", async (t) => {
  const { codes, urls } = await callAgain(t, { flags: ["--no-addons"] });
  assert.deepEqual(codes, ["PLATFORM_UNSUPPORTED"]);
  assert.deepEqual(urls, [`file://${RUNTIME}`]);
});

test("a client whose file was unreadable for a moment imports it once more, whatever number of calls failed together", async (t) => {
  const broken = `if (!url.includes("?again=2")) throw Object.assign(new Error("EMFILE"), { code: "EMFILE" });`;
  const { codes, urls } = await callAgain(t, { broken });
  assert.deepEqual(codes, ["IO_FAILED", "BROKER_UNAVAILABLE"]);
  assert.deepEqual(
    urls,
    ["", "?again=1", "?again=2"].map((query) => `file://${RUNTIME}${query}`),
  );
});

test("a client whose file is gone for good imports no copies of it", async (t) => {
  const broken = `throw Object.assign(new Error("EACCES"), { code: "EACCES" });`;
  const { codes, urls } = await callAgain(t, { broken });
  assert.deepEqual(codes, ["IO_FAILED"]);
  assert.equal(urls.length, 1);
});
