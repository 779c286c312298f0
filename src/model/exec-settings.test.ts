import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hasCode } from "../base/errors.ts";
import {
  type ExecSettings,
  expandArgs,
  type HandoffSettings,
  LABELS,
  parseExecSettings,
  parseHandoffSettings,
  parseIdleTimeout,
} from "./exec-settings.ts";

type AllSettings = ExecSettings & HandoffSettings & { readonly idle: number | "never" | undefined };

/** All settings there are; a label belongs to one of the readers. */
function parseSettings(labels: Readonly<Record<string, string>>): AllSettings {
  return { ...parseExecSettings(labels), ...parseHandoffSettings(labels), idle: parseIdleTimeout(labels) };
}

interface Row {
  readonly key: string;
  readonly setting: keyof AllSettings;
  readonly fallback: unknown;
  /** Label value and what becomes of it. */
  readonly good: readonly (readonly [string, unknown])[];
  readonly bad: readonly string[];
  /** Labels that have to stand beside this one. */
  readonly beside?: Readonly<Record<string, string>>;
}

const ROWS: readonly Row[] = [
  {
    key: "exec.args",
    setting: "args",
    fallback: [],
    good: [
      ["[]", []],
      ['["serve","--socket={endpoint}",""]', ["serve", "--socket={endpoint}", ""]],
    ],
    bad: ["", "serve", "{}", "null", '"x"', "[1]", "[null]", '[["x"]]', '["a\\u0000b"]', "[", '["a",]'],
  },
  {
    key: "exec.cwd",
    setting: "cwd",
    fallback: "/",
    good: [
      ["", "/"],
      ["/", "/"],
      ["/srv/x y", "/srv/x y"],
    ],
    bad: ["srv", "./srv", "~", "C:\\x", "/a\0b"],
  },
  {
    key: "exec.bind",
    setting: "bind",
    fallback: "backend",
    good: [
      ["backend", "backend"],
      ["broker", "broker"],
    ],
    bad: ["", "Broker", "broker ", "none", "toString"],
  },
  {
    key: "exec.ready",
    setting: "ready",
    fallback: "probe",
    good: [["probe", "probe"]],
    bad: ["", "Probe", "listening", "listen"],
  },
  {
    key: "exec.ready",
    setting: "ready",
    fallback: "probe",
    beside: { "exec.bind": "broker" },
    good: [
      ["probe", "probe"],
      ["listen", "listen"],
    ],
    bad: ["connect"],
  },
  {
    key: "exec.ready",
    setting: "ready",
    fallback: "probe",
    beside: { "exec.bind": "backend" },
    good: [["connect", "connect"]],
    bad: ["listen"],
  },
  {
    key: "exec.nonblocking",
    setting: "nonBlocking",
    fallback: false,
    good: [
      ["true", true],
      ["false", false],
    ],
    bad: ["", "True", "yes", "1", "0", "true ", "toString"],
  },
  ...(
    [
      ["exec.ready_timeout", "readyTimeoutMs", 15_000],
      ["exec.stop_timeout", "stopTimeoutMs", 10_000],
    ] as const
  ).map(([key, setting, fallback]) => ({
    key,
    setting,
    fallback,
    good: [
      ["1ms", 1],
      ["500ms", 500],
      ["10s", 10_000],
      ["010s", 10_000],
      ["2m", 120_000],
      ["10m", 600_000],
      ["600s", 600_000],
    ] as const,
    bad: [
      "",
      "0ms",
      "0s",
      "10",
      "s",
      "1.5s",
      "-1s",
      "+1s",
      "10 s",
      "10S",
      "11m",
      "600001ms",
      "1h",
      "9999999999ms",
      "1s ",
      "1s\n",
    ],
  })),
  {
    key: "log.max_bytes",
    setting: "logMaxBytes",
    fallback: 1_048_576,
    good: [
      ["4096", 4096],
      ["1073741824", 1024 ** 3],
    ],
    bad: ["", "4095", "1073741825", "1e6", "1MB", "-4096", "0x2000", "4096.5", "9999999999999"],
  },
  ...(
    [
      ["handoff.enabled", "enabled"],
      ["handoff.disable_under_fd_pressure", "disableUnderFdPressure"],
    ] as const
  ).map(([key, setting]) => ({
    key,
    setting,
    fallback: true,
    good: [
      ["true", true],
      ["false", false],
    ] as const,
    bad: ["", "True", "yes", "0", "1", "true ", "toString"],
  })),
  {
    key: "handoff.endpoint",
    setting: "endpoint",
    fallback: undefined,
    good: [
      ["/run/x.sock", "/run/x.sock"],
      ["{endpoint}.handoff", "{endpoint}.handoff"],
    ],
    bad: ["", "x.sock", "{endpoint}", "x{endpoint}.h", "/run/\0"],
  },
  {
    key: "handoff.max_attempts_per_minute",
    setting: "maxAttemptsPerMinute",
    fallback: undefined,
    good: [
      ["1", 1],
      ["10000", 10_000],
    ],
    bad: ["", "0", "10001", "-1", "1.5", "1e3", "60/m", " 1", "9999999999"],
  },
  {
    key: "idle.timeout",
    setting: "idle",
    fallback: undefined,
    good: [
      ["never", "never"],
      ["1ms", 1],
      ["90s", 90_000],
      ["3h", 10_800_000],
      ["7d", 604_800_000],
      ["168h", 604_800_000],
    ],
    bad: ["", "0s", "3", "169h", "8d", "1.5h", "-1s", "forever", " 3h"],
  },
];

describe("each label", () => {
  for (const row of ROWS) {
    const beside = row.beside ?? {};
    const name = Object.keys(beside).length === 0 ? row.key : `${row.key} beside ${JSON.stringify(beside)}`;
    test(`${name}: its default`, () => assert.deepEqual(parseSettings(beside)[row.setting], row.fallback));
    for (const [text, value] of row.good) {
      test(`${name}: ${JSON.stringify(text)} is good`, () => {
        assert.deepEqual(parseSettings({ ...beside, [row.key]: text })[row.setting], value);
      });
    }
    for (const text of row.bad) {
      test(`${name}: ${JSON.stringify(text)} is bad`, () => {
        assert.throws(() => parseSettings({ ...beside, [row.key]: text }), refusing(row.key));
      });
    }
  }

  test("that is documented has a row here, and its documented default is the real one", () => {
    const tested = new Set([...ROWS.map((row) => row.key), "exec.env."]);
    assert.deepEqual(LABELS.map((label) => label.key).sort(), [...tested].sort());
    const unsetByDefault = new Set(ROWS.filter((row) => row.fallback === undefined).map((row) => row.key));
    const withDefaults = Object.fromEntries(
      LABELS.filter((label) => !label.key.endsWith(".") && !unsetByDefault.has(label.key)).map((label) => [
        label.key,
        label.fallback.replace(/ \(.*/, ""),
      ]),
    );
    assert.deepEqual(parseSettings(withDefaults), parseSettings({}));
  });

  test("that is unknown changes nothing", () => {
    assert.deepEqual(
      parseSettings({ "exec.argz": "[", team: "x", "log.max_byte": "?", "handoff.enable": "?" }),
      parseSettings({}),
    );
  });
});

describe("exec.env.NAME", () => {
  test("sets variables, with any text but NUL", () => {
    const labels = { "exec.env.A": "1", "exec.env._b9": "", "exec.env.PATH": "/x:/y\n=é" };
    assert.deepEqual(parseExecSettings(labels).env, { A: "1", _b9: "", PATH: "/x:/y\n=é" });
    assert.deepEqual(parseExecSettings({}).env, {});
  });

  test("keeps a variable whose name objects use themselves", () => {
    const labels = Object.fromEntries([["exec.env.__proto__", "x"]]);
    assert.deepEqual(Object.entries(parseExecSettings(labels).env), [["__proto__", "x"]]);
  });

  for (const key of [
    "exec.env.",
    "exec.env.9A",
    "exec.env.A-B",
    "exec.env.A=B",
    "exec.env.A B",
    "exec.env.é",
    "exec.env.A\0",
  ]) {
    test(`${JSON.stringify(key)} names no variable`, () =>
      assert.throws(() => parseExecSettings({ [key]: "x" }), refusing(key)));
  }

  test("cannot set what the broker sets", () => {
    const key = "exec.env.RUNNING_PROCESS_BROKER_V1_BACKEND_PIPE";
    assert.throws(() => parseExecSettings({ [key]: "x" }), refusing(key));
    assert.deepEqual(parseExecSettings({ "exec.env.RUNNING_PROCESS_X": "x" }).env, { RUNNING_PROCESS_X: "x" });
  });

  test("holds no NUL", () => assert.throws(() => parseExecSettings({ "exec.env.A": "a\0b" }), refusing("exec.env.A")));
});

test("a refusal names the label, what it holds (cut) and what it may hold", () => {
  assert.throws(
    () => parseExecSettings({ "exec.bind": "x".repeat(5000) }),
    (error) =>
      error instanceof Error &&
      error.message.includes("exec.bind") &&
      error.message.includes('"backend", "broker"') &&
      error.message.length < 400,
  );
});

test("placeholders in arguments are filled in once, everywhere, and other braces stay", () => {
  const values = { endpoint: "/run/{version}.sock", version: "1.2.3", service: "svc" };
  assert.deepEqual(expandArgs(["--at={endpoint}", "{service}-{version}-{service}", "{other} {} $&", "plain"], values), [
    "--at=/run/{version}.sock",
    "svc-1.2.3-svc",
    "{other} {} $&",
    "plain",
  ]);
  assert.deepEqual(expandArgs(["{endpoint}"], { ...values, endpoint: "$& $1 $$" }), ["$& $1 $$"]);
});

function refusing(key: string): (error: unknown) => boolean {
  return (error) => hasCode(error, "DEFINITION_INVALID") && error.details.check === key && error.message.includes(key);
}
