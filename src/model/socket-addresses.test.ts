import assert from "node:assert/strict";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { darwin, inputs, linux, win32 } from "../../test/model/support/place-inputs.ts";
import { hasCode } from "../base/errors.ts";
import { backendName, brokerName } from "./names.ts";
import {
  checkEndpointLength,
  endpointPath,
  givenEndpoint,
  hash16,
  nameLink,
  type PlaceInputs,
  runtimeDirectory,
  socketDirectories,
} from "./places.ts";

const HASH = "deadbeefdeadbeef";

describe("the directory of sockets", () => {
  const rows: readonly (readonly [string, Partial<PlaceInputs>, string | undefined])[] = [
    [
      "Linux with XDG_RUNTIME_DIR",
      linux({ XDG_RUNTIME_DIR: "/run/user/1000" }),
      "/run/user/1000/running-process/broker",
    ],
    [
      "Linux with a slash at its end",
      linux({ XDG_RUNTIME_DIR: "/run/user/1000/" }),
      "/run/user/1000/running-process/broker",
    ],
    [
      "Linux with dots in it, which stay",
      linux({ XDG_RUNTIME_DIR: "/run/link/../x" }),
      "/run/link/../x/running-process/broker",
    ],
    ["Linux without", linux({}), "/tmp/running-process-1000/broker"],
    ["Linux with an empty one", linux({ XDG_RUNTIME_DIR: "" }), "/tmp/running-process-1000/broker"],
    ["macOS with TMPDIR", darwin({ TMPDIR: "/var/folders/ab/T/" }), "/var/folders/ab/T/.rp-1000"],
    ["macOS without", darwin({}), "/tmp/.rp-1000"],
    ["macOS with an empty one", darwin({ TMPDIR: "" }), "/tmp/.rp-1000"],
    ["macOS, whose XDG_RUNTIME_DIR does not count", darwin({ XDG_RUNTIME_DIR: "/x" }), "/tmp/.rp-1000"],
    ["Windows", win32({ TMPDIR: "/x" }), undefined],
  ];
  for (const [name, at, path] of rows) test(name, () => assert.equal(runtimeDirectory(inputs(at)), path));
});

describe("the address of a name", () => {
  test("on Linux is the name in that directory", () => {
    assert.equal(
      endpointPath(inputs(linux({ XDG_RUNTIME_DIR: "/run/user/1000" })), brokerName(HASH, { kind: "shared" })),
      `/run/user/1000/running-process/broker/rpb-v1-${HASH}-shared.sock`,
    );
  });

  for (const [bare, leaf] of [
    [brokerName(HASH, { kind: "shared" }), "ca2bb7f9ae4dff58.sock"],
    [brokerName(HASH, { kind: "private", service: "zccache" }), "c5c53accdf467d45.sock"],
    [brokerName(HASH, { kind: "explicit", name: "ci-trusted" }), "3b25b61fbc1a0cc7.sock"],
    [backendName(HASH, Buffer.alloc(16, 0xab)), "5d51db7f30d685be.sock"],
  ] as const) {
    test(`on macOS the leaf of ${bare} is its hash`, () => {
      assert.equal(endpointPath(inputs(darwin({})), bare), `/tmp/.rp-1000/${leaf}`);
    });
  }

  test("on Windows is a pipe name", () => {
    assert.equal(endpointPath(inputs(win32({})), "rpb-v1-x"), "\\\\.\\pipe\\rpb-v1-x");
  });

  test("of a backend always fits below /run/user/1000, with 102 bytes", () => {
    const path = endpointPath(
      inputs(linux({ XDG_RUNTIME_DIR: "/run/user/1000" })),
      backendName(HASH, Buffer.alloc(16)),
    );
    assert.equal(Buffer.byteLength(path), 102);
  });

  test("below /run/user/1000 is the name for services of up to 36 letters and instances of 35, then its hash", () => {
    const at = inputs(linux({ XDG_RUNTIME_DIR: "/run/user/1000" }));
    for (const [instance, fits] of [
      [{ kind: "private", service: "s".repeat(36) }, true],
      [{ kind: "private", service: "s".repeat(37) }, false],
      [{ kind: "explicit", name: "s".repeat(35) }, true],
      [{ kind: "explicit", name: "s".repeat(36) }, false],
    ] as const) {
      const bare = brokerName(HASH, instance);
      const path = endpointPath(at, bare);
      assert.equal(path, `/run/user/1000/running-process/broker/${fits ? bare : hash16(bare)}.sock`);
      if (fits) assert.equal(Buffer.byteLength(path), 107);
    }
  });
});

describe("in a runtime directory of any length", () => {
  const shared = brokerName(HASH, { kind: "shared" });
  const longest = brokerName(HASH, { kind: "explicit", name: "i".repeat(64) });
  const backend = backendName(HASH, Buffer.alloc(16, 0xab));
  const names = [shared, longest, backend];
  const ofBytes = (bytes: number, letter = "r"): string => {
    const start = "/".padEnd(1 + ((bytes - 1) % Buffer.byteLength(letter)), "x");
    const path = start + letter.repeat((bytes - start.length) / Buffer.byteLength(letter));
    assert.equal(Buffer.byteLength(path), bytes);
    return path;
  };

  for (const letter of ["r", "é", "€", "𝕣", " ", "\n", "'", "$&"]) {
    test(`every address fits, and those that fit today stay what they are (made of ${JSON.stringify(letter)})`, () => {
      for (let bytes = 2; bytes <= 250; bytes++) {
        const base = ofBytes(bytes, letter);
        const at = inputs(linux({ XDG_RUNTIME_DIR: base }));
        const usual = `${base}/running-process/broker`;
        const fallback = `/tmp/running-process-1000/${hash16(base)}`;
        for (const bare of names) {
          const path = endpointPath(at, bare);
          const tried = [`${usual}/${bare}.sock`, `${usual}/${hash16(bare)}.sock`, `${fallback}/${hash16(bare)}.sock`];
          assert.equal(
            path,
            tried.find((each) => Buffer.byteLength(each) <= 107),
          );
          assert.ok(socketDirectories(at).includes(dirname(path)));
        }
        assert.equal(dirname(endpointPath(at, shared)), runtimeDirectory(at));
        assert.equal(runtimeDirectory(at), bytes <= 62 ? usual : fallback);
      }
    });
  }

  test("one byte decides", () => {
    const leafOf = (bytes: number, bare: string): string =>
      endpointPath(inputs(linux({ XDG_RUNTIME_DIR: ofBytes(bytes) })), bare);
    assert.match(leafOf(19, backend), /\/rpb-v1-[^/]+-be-[^/]+$/);
    assert.match(leafOf(20, backend), /^\/r+\/running-process\/broker\/5d51db7f30d685be\.sock$/);
    assert.match(leafOf(48, shared), /\/rpb-v1-[^/]+-shared\.sock$/);
    assert.match(leafOf(49, shared), /^\/r+\/running-process\/broker\/ca2bb7f9ae4dff58\.sock$/);
    assert.match(leafOf(62, shared), /^\/r+\/running-process\/broker\/ca2bb7f9ae4dff58\.sock$/);
    assert.match(leafOf(63, shared), /^\/tmp\/running-process-1000\/[0-9a-f]{16}\/ca2bb7f9ae4dff58\.sock$/);
  });

  test("an address derived from it has to fit as well", () => {
    const at = (bytes: number): PlaceInputs => inputs(linux({ XDG_RUNTIME_DIR: ofBytes(bytes) }));
    const handoff = (path: string): string => `${path}.h`;
    for (let bytes = 2; bytes <= 250; bytes++)
      assert.ok(Buffer.byteLength(handoff(endpointPath(at(bytes), backend, handoff))) <= 107);
    assert.match(endpointPath(at(17), backend, handoff), /-be-/);
    assert.match(endpointPath(at(18), backend, handoff), /broker\/5d51db7f30d685be/);
    assert.equal(dirname(endpointPath(at(62), backend, handoff)), socketDirectories(at(62))[1]);
    assert.throws(
      () => endpointPath(at(20), backend, (path) => path + "h".repeat(80)),
      (error) =>
        hasCode(error, "PATH_TOO_LONG") && /has 1\d\d bytes, .* holds 107: .*handoff\.endpoint/.test(error.message),
    );
  });

  test("two directories never share an address; slashes at the end make no other directory", () => {
    const of = (base: string): string => endpointPath(inputs(linux({ XDG_RUNTIME_DIR: base })), shared);
    const long = `/${"d".repeat(99)}`;
    const bases = [long, `${long}e`, `${long}/e`, `${long} `, `${long}\n`, `/${long}`, ofBytes(63), ofBytes(62), "/d"];
    assert.equal(new Set(bases.map(of)).size, bases.length);
    for (const base of ["/d", long]) assert.equal(dirname(of(`${base}/`)), dirname(of(base)));
    assert.equal(of(`${long}///`), of(long));
    const other = endpointPath(inputs({ ...linux({ XDG_RUNTIME_DIR: long }), uid: 1001 }), shared);
    assert.match(other, /^\/tmp\/running-process-1001\//);
  });

  test("without one there is nothing to hash but names that are too long", () => {
    const at = inputs(linux({}));
    assert.deepEqual(socketDirectories(at), ["/tmp/running-process-1000/broker"]);
    assert.equal(endpointPath(at, longest), `/tmp/running-process-1000/broker/${hash16(longest)}.sock`);
  });

  test("macOS has the same second choice", () => {
    const base = `/${"t".repeat(90)}`;
    assert.equal(
      endpointPath(inputs(darwin({ TMPDIR: base })), shared),
      `/tmp/running-process-1000/${hash16(base)}/ca2bb7f9ae4dff58.sock`,
    );
  });

  for (const [value, why] of [
    ["/run/\ufffd", "is not valid UTF-8"],
    ["/run/\ud800", "is not valid UTF-8"],
    ["/run/a\0b", "holds a NUL byte"],
    ["run/user", "is not an absolute path"],
    [".", "is not an absolute path"],
  ] as const) {
    test(`${JSON.stringify(value)} is refused by the name of the variable`, () => {
      const at = inputs(linux({ XDG_RUNTIME_DIR: value }));
      const refused = (error: unknown): boolean =>
        hasCode(error, "ENDPOINT_INVALID") && error.message.includes(`XDG_RUNTIME_DIR ${why}`);
      assert.throws(() => endpointPath(at, shared), refused);
      assert.throws(() => runtimeDirectory(at), refused);
    });
  }

  test("a socket that an option gives is refused by the name of the option", () => {
    assert.equal(givenEndpoint("linux", "/a b\n", "--socket"), "/a b\n");
    for (const [path, code, why] of [
      [
        `/${"x".repeat(107)}`,
        "PATH_TOO_LONG",
        /socket path has 108 bytes, Linux sun_path holds 107: .* \(from --socket; give a shorter one\)/,
      ],
      ["rel", "ENDPOINT_INVALID", /socket path of --socket is not an absolute path: "rel"/],
      ["/\ufffd", "ENDPOINT_INVALID", /socket path of --socket is not valid UTF-8/],
    ] as const)
      assert.throws(
        () => givenEndpoint("linux", path, "--socket"),
        (error) => hasCode(error, code) && why.test(error.message),
      );
  });

  test("a link with the name is beside a socket whose leaf is a hash, and beside no other", () => {
    assert.deepEqual(nameLink("/d/e\nf/ca2bb7f9ae4dff58.sock", "rpb-v1-x"), {
      path: "/d/e\nf/rpb-v1-x.sock",
      target: "ca2bb7f9ae4dff58.sock",
    });
    assert.equal(nameLink("/d/rpb-v1-x.sock", "rpb-v1-x"), undefined);
  });
});

describe("the length of an address", () => {
  for (const [os, max, label] of [
    ["linux", 107, "Linux sun_path"],
    ["darwin", 103, "macOS sun_path"],
    ["win32", 260, "Windows MAX_PATH"],
  ] as const) {
    test(`is at most ${max} bytes on ${os}`, () => {
      assert.equal(checkEndpointLength(os, "x".repeat(max)), "x".repeat(max));
      assert.throws(
        () => checkEndpointLength(os, "x".repeat(max + 1)),
        (error) =>
          hasCode(error, "PATH_TOO_LONG") &&
          error.message.includes(label) &&
          error.message.includes(`${max + 1} bytes`) &&
          error.message.includes(`holds ${max}`) &&
          error.details.path === "x".repeat(max + 1),
      );
    });
  }

  test("counts bytes, not letters", () => {
    assert.throws(
      () => checkEndpointLength("linux", "é".repeat(54)),
      (error) => hasCode(error, "PATH_TOO_LONG"),
    );
  });
});
