import assert from "node:assert/strict";
import { test } from "node:test";
import { createRedactor } from "./redaction.ts";

const { text, value } = createRedactor({
  home: "/home/ann",
  env: { MY_API_TOKEN: "s3cr3t-value", SSH_KEY: "short", DB_PASSWORD: "a.b*c+d$1", PATH: "/usr/bin:/bin" },
  stableHash: (identity) => `hash-of-${identity.length}`,
});

test("the home directory is ~, where it is that and not the beginning of another name", () => {
  assert.equal(text("/home/ann/x, /home/ann: (/home/ann)"), "~/x, ~: (~)");
  assert.equal(text("/home/anna/x"), "/home/[redacted]/x");
  assert.equal(text("/Users/bob/y and /home/carl"), "/Users/[redacted]/y and /home/[redacted]");
});

test("values of secret variables go wherever they stand; short ones would be coincidence", () => {
  assert.equal(text("xs3cr3t-valuey and a.b*c+d$1!"), "x[redacted]y and [redacted]!");
  assert.equal(text("short /usr/bin:/bin"), "short /usr/bin:/bin");
});

test("of a secret that is the beginning of another one, nothing of the other one stays", () => {
  const nested = createRedactor({
    home: "",
    env: { OLD_TOKEN: "abcdef", NEW_TOKEN: "abcdef-and-more" },
    stableHash: (identity) => identity,
  });
  assert.equal(nested.text("got abcdef-and-more, had abcdef"), "got [redacted], had [redacted]");
});

test("what is assigned to a secret's name goes, in every spelling", () => {
  assert.equal(text("TOKEN=abc next"), "TOKEN=[redacted] next");
  assert.equal(text('{"api_key": "a b", "n": 1}'), '{"api_key": [redacted], "n": 1}');
  assert.equal(text("password: 'x y' z"), "password: [redacted] z");
  assert.equal(text("AWS_SECRET_ACCESS_KEY=abc&b=1"), "AWS_SECRET_ACCESS_KEY=[redacted]&b=1");
  assert.equal(text("Authorization: Bearer abcdef.ghi"), "Authorization: Bearer [redacted]");
  assert.equal(text("https://user:pw@host/x"), "https://[redacted]@host/x");
  assert.equal(text('service="svc",version="1.0.0"'), 'service="svc",version="1.0.0"');
});

test("identities become the same short name each time", () => {
  assert.equal(text("pid 7, uid 1001"), "pid 7, uid id-hash-of-4");
  assert.equal(text("windows-sid:0105ab"), "id-hash-of-18");
});

test("structured values are redacted by their keys, all the way down", () => {
  const given = {
    uid: 1001,
    identity: "1001",
    apiKey: 12,
    path: "/home/ann/b",
    list: [{ token: "x" }, "TOKEN=y", null, 3],
  };
  assert.deepEqual(value(given), {
    uid: "id-hash-of-4",
    identity: "id-hash-of-4",
    apiKey: "[redacted]",
    path: "~/b",
    list: [{ token: "[redacted]" }, "TOKEN=[redacted]", null, 3],
  });
});

test("a long text is cut in the middle", () => {
  const long = value(`begin ${"x".repeat(100_000)} end`) as string;
  assert.ok(long.length < 4200 && long.startsWith("begin ") && long.endsWith(" end"));
});

// Guards against patterns whose time grows with the square of the text: this would take minutes.
test("a hostile text of a megabyte costs no more than any other", () => {
  for (const piece of ["a", "KEY", "KE", "k=", "://", "a.", "/home/", "uid ", "bearer "])
    text(piece.repeat(1_000_000 / piece.length));
});

test("without a home nothing is replaced by one", () => {
  const bare = createRedactor({ home: "", env: {}, stableHash: () => "" });
  assert.equal(bare.text("/opt/x"), "/opt/x");
});
