import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { darwin, inputs, linux, win32 } from "../../test/model/support/place-inputs.ts";
import { hasCode } from "../base/errors.ts";
import { definitionDirectory, hash16, logDirectory, manifestDirectory, type PlaceInputs } from "./places.ts";

describe("the user hash", () => {
  for (const [input, hash] of [
    ["alice:machine-1", "0c156653d434bf60"],
    ["bob:machine-1", "a0e150100bdf40c2"],
    ["1000:0123456789abcdef0123456789abcdef", "9bfab56ad37b16cc"],
    ["501:11111111-2222-3333-4444-555555555555", "9ec127e6ccb7af50"],
    ["windows-sid:010500000000000515000000010000000200000003000000e9030000", "d0c4fd2be270ad43"],
    ["windows-sid:010100000000000512000000", "c19ee48dcd9f5d3b"],
  ] as const) {
    test(`of ${input}`, () => assert.equal(hash16(input), hash));
  }
});

describe("the directories of definitions, manifests and logs", () => {
  const rows: readonly (readonly [string, Partial<PlaceInputs>, string, string, string])[] = [
    [
      "Linux",
      linux({}),
      "/home/u/.config/running-process/services",
      "/home/u/.local/share/running-process/manifests",
      "/home/u/.local/state/running-process/logs",
    ],
    [
      "Linux with XDG directories",
      linux({ XDG_CONFIG_HOME: "/c", XDG_DATA_HOME: "/d/", XDG_STATE_HOME: "/s" }),
      "/c/running-process/services",
      "/d/running-process/manifests",
      "/s/running-process/logs",
    ],
    [
      "Linux with empty variables",
      linux({
        XDG_CONFIG_HOME: "",
        XDG_DATA_HOME: "",
        XDG_STATE_HOME: "",
        RUNNING_PROCESS_SERVICE_DEF_DIR: "",
        RUNNING_PROCESS_MANIFEST_DIR: "",
        RUNNING_PROCESS_BROKER_LOG_DIR: "",
      }),
      "/home/u/.config/running-process/services",
      "/home/u/.local/share/running-process/manifests",
      "/home/u/.local/state/running-process/logs",
    ],
    [
      "macOS",
      darwin({ XDG_CONFIG_HOME: "/c" }),
      "/home/u/Library/Application Support/running-process/services",
      "/home/u/Library/Application Support/running-process/manifests",
      "/home/u/Library/Application Support/running-process/logs",
    ],
    [
      "Windows",
      win32({ APPDATA: "C:\\Users\\u\\AppData\\Roaming", LOCALAPPDATA: "C:\\Users\\u\\AppData\\Local" }),
      "C:\\Users\\u\\AppData\\Roaming\\running-process\\services",
      "C:\\Users\\u\\AppData\\Roaming\\running-process\\manifests",
      "C:\\Users\\u\\AppData\\Local\\running-process\\logs",
    ],
    [
      "Windows without known folders",
      win32({}),
      "C:\\ProgramData\\running-process\\services",
      "C:\\ProgramData\\running-process\\manifests",
      "C:\\ProgramData\\running-process\\logs",
    ],
  ];
  for (const [name, at, definitions, manifests, logs] of rows) {
    test(name, () => {
      assert.deepEqual(definitionDirectory(inputs(at)), { path: definitions, source: "platform-default" });
      assert.equal(manifestDirectory(inputs(at)), manifests);
      assert.equal(logDirectory(inputs(at)), logs);
    });
  }

  test("a variable that is not valid UTF-8 is refused by its name", () => {
    for (const [variable, find] of [
      ["XDG_CONFIG_HOME", definitionDirectory],
      ["XDG_STATE_HOME", logDirectory],
      ["XDG_DATA_HOME", manifestDirectory],
      ["RUNNING_PROCESS_SERVICE_DEF_DIR", definitionDirectory],
      ["RUNNING_PROCESS_BROKER_LOG_DIR", logDirectory],
    ] as const)
      assert.throws(
        () => find(inputs(linux({ [variable]: "/a\ufffdb" }))),
        (error) => hasCode(error, "OPTION_INVALID") && error.message.includes(`${variable} is not valid UTF-8`),
      );
    assert.throws(() => logDirectory(inputs({ home: "/\ufffd" })), /HOME is not valid UTF-8/);
  });

  for (const system of [linux, darwin, win32]) {
    test(`are taken verbatim from their own variables on ${system({}).os}`, () => {
      const at = inputs(
        system({
          RUNNING_PROCESS_SERVICE_DEF_DIR: "rel//a/",
          RUNNING_PROCESS_MANIFEST_DIR: "b/../c",
          RUNNING_PROCESS_BROKER_LOG_DIR: "/l/",
        }),
      );
      assert.deepEqual(definitionDirectory(at), { path: "rel//a/", source: "env:RUNNING_PROCESS_SERVICE_DEF_DIR" });
      assert.equal(manifestDirectory(at), "b/../c");
      assert.equal(logDirectory(at), "/l/");
    });
  }
});

test("a user without a home directory hears what to set, and still has logs", () => {
  const at: PlaceInputs = { os: "linux", env: {}, uid: 54321, home: "" };
  const unknown = (given: PlaceInputs, words: RegExp): void => {
    assert.throws(
      () => definitionDirectory(given),
      (error) =>
        hasCode(error, "HOME_UNKNOWN") &&
        words.test(error.message) &&
        /RUNNING_PROCESS_SERVICE_DEF_DIR/.test(error.message),
    );
  };
  unknown(at, /no account of uid 54321/);
  unknown({ ...at, home: "ann" }, /HOME is "ann", which is no absolute path/);
  assert.equal(definitionDirectory({ ...at, env: { RUNNING_PROCESS_SERVICE_DEF_DIR: "/d" } }).path, "/d");
  assert.equal(definitionDirectory({ ...at, env: { XDG_CONFIG_HOME: "/c" } }).path, "/c/running-process/services");
  assert.equal(logDirectory(at), "/tmp/running-process-54321/logs");
  assert.equal(logDirectory({ ...at, env: { XDG_RUNTIME_DIR: "/run/u" } }), "/run/u/running-process/logs");
  assert.equal(logDirectory({ ...at, home: "/" }), "/tmp/running-process-54321/logs");
  assert.equal(logDirectory({ ...at, home: "/", uid: 0 }), "/.local/state/running-process/logs");
  assert.equal(logDirectory({ ...at, env: { XDG_STATE_HOME: "/s" } }), "/s/running-process/logs");
});
