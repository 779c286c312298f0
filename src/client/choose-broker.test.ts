import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connectReal, sealedEnv } from "../../test/support/peers/connect-real.ts";
import { temporaryDirectory } from "../../test/support/peers/scripted-server.ts";
import { createServiceDefinition, type Isolation } from "../model/service-definition.ts";
import { loadPlatform, placeInputs } from "../platform/platform.ts";
import type { Env, Platform } from "../platform/ports/index.ts";
import { createDefinitionStore } from "../store/definition-store.ts";
import { chooseBroker } from "./choose-broker.ts";

const OPTIONS = { service: "demo", version: "1.2.3" };

async function stage(
  t: TestContext,
  isolation: Isolation = "private",
): Promise<{ platform: Platform; env: Env; directory: string }> {
  const directory = temporaryDirectory(t);
  const platform = await loadPlatform();
  const explicitInstance = isolation === "explicit" ? { explicitInstance: "ci" } : {};
  const definition = createServiceDefinition({
    serviceName: "demo",
    binaryPath: "/bin/demo",
    isolation,
    ...explicitInstance,
  });
  mkdirSync(join(directory, "config"), { mode: 0o700 });
  createDefinitionStore(platform.files, join(directory, "config/running-process/services")).save(definition);
  return { platform, env: sealedEnv(directory), directory };
}

const BARE = { private: "svc-demo", shared: "shared", explicit: "inst-ci" } as const;

for (const isolation of ["private", "shared", "explicit"] as const) {
  test(`the definition's ${isolation} instance names the broker`, async (t) => {
    const { platform, env, directory } = await stage(t, isolation);
    const choice = chooseBroker(platform, placeInputs(env), OPTIONS);
    assert.equal(
      choice.endpoint,
      `${directory}/running-process/broker/rpb-v1-${platform.host.userHash()}-${BARE[isolation]}.sock`,
    );
    assert.equal(choice.instance?.kind, isolation);
  });
}

test("the option goes before the variable, the variable before the definition, an empty variable counts for nothing", async (t) => {
  const { platform, env } = await stage(t);
  const withVariable = placeInputs({ ...env, RUNNING_PROCESS_BROKER_V1_SOCKET: "/v.sock" });
  const byOption = chooseBroker(platform, withVariable, { ...OPTIONS, broker: { endpoint: "/o.sock" } });
  assert.deepEqual(byOption, { endpoint: "/o.sock", instance: undefined });
  assert.deepEqual(chooseBroker(platform, withVariable, OPTIONS), { endpoint: "/v.sock", instance: undefined });
  const empty = placeInputs({ ...env, RUNNING_PROCESS_BROKER_V1_SOCKET: "" });
  assert.equal(chooseBroker(platform, empty, OPTIONS).instance?.kind, "private");
});

test("a missing definition is DEFINITION_NOT_FOUND before anything is created or started", async (t) => {
  const directory = temporaryDirectory(t);
  await assert.rejects(connectReal(t, { env: sealedEnv(directory), service: "unheard-of" }), {
    code: "DEFINITION_NOT_FOUND",
  });
  assert.deepEqual(readdirSync(directory), []);
});

test("the option's definition directory goes before the user's", async (t) => {
  const { platform, env, directory } = await stage(t);
  const options = { ...OPTIONS, definitionDirectory: join(directory, "elsewhere") };
  assert.throws(() => chooseBroker(platform, placeInputs(env), options), { code: "DEFINITION_NOT_FOUND" });
});
