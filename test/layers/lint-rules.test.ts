/** Guards the patterns of the generated lint rules: one that fits no import is as good as none. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { withLintRules } from "../../scripts/layers/lint-rules.ts";
import type { Layer } from "../../scripts/layers/table.ts";

const BIOME = fileURLToPath(new URL("../../node_modules/@biomejs/biome/bin/biome", import.meta.url));

const LAYERS: readonly Layer[] = [
  { name: "app", about: "", mayImport: ["house", "base"] },
  { name: "entry.ts", about: "", mayImport: ["house"] },
  { name: "house", about: "", mayImport: ["base"], doors: ["index.ts", "gate/"] },
  { name: "base", about: "", mayImport: [] },
];
const OF_APP = "src/app may import from: house/index.ts, house/gate/, base.";
const OF_ENTRY = "src/entry.ts may import from: house/index.ts, house/gate/.";
const OF_HOUSE = "src/house may import from: base.";
const OF_BASE = "src/base may import nothing else of this project.";

/** Imports, and the message of the lint rule; without one they are allowed. */
const IMPORTS: readonly (readonly [file: string, specifier: string, message?: string])[] = [
  ["src/app/a.ts", "../house/index.ts"],
  ["src/app/a.ts", "../house/gate/deep/x.ts"],
  ["src/app/a.ts", "../house/hall/x.ts", OF_APP],
  ["src/app/a.ts", "../house/other.ts", OF_APP],
  ["src/app/a.ts", "../base/x.ts"],
  ["src/app/a.ts", "../entry.ts", OF_APP],
  ["src/app/a.ts", "./room/b.ts"],
  ["src/app/room/b.ts", "../../house/gate/x.ts"],
  ["src/app/room/b.ts", "../../house/hall/x.ts", OF_APP],
  ["src/app/room/b.ts", "../../entry.ts", OF_APP],
  ["src/app/room/inner/c.ts", "../../../house/index.ts"],
  ["src/app/room/inner/c.ts", "../../../house/hall/x.ts", OF_APP],
  ["src/entry.ts", "./house/index.ts"],
  ["src/entry.ts", "./house/hall/x.ts", OF_ENTRY],
  ["src/entry.ts", "./base/x.ts", OF_ENTRY],
  ["src/house/hall/x.ts", "../gate/x.ts"],
  ["src/house/hall/x.ts", "../../base/x.ts"],
  ["src/house/hall/x.ts", "../../app/a.ts", OF_HOUSE],
  ["src/base/x.ts", "../house/index.ts", OF_BASE],
  ["src/base/x.ts", "@scope/package/house/hall"],
  ["src/base/x.test.ts", "../house/hall/x.ts"],
];

for (const [name, write] of [
  ["imports", (to: string) => `import "${to}";`],
  ["imports of types", (to: string) => `export type { X } from "${to}";`],
  ["dynamic imports", (to: string) => `import("${to}");`],
] as const) {
  test(`biome refuses the ${name} that the table forbids, and no others`, (t) => {
    const root = mkdtempSync(join(tmpdir(), "lint-"));
    t.after(() => rmSync(root, { recursive: true, force: true }));
    const rules = { preset: "none" };
    const config = { ...withLintRules({ overrides: [] }, LAYERS), linter: { enabled: true, rules }, root: true };
    writeFileSync(join(root, "biome.json"), JSON.stringify(config));
    for (const file of new Set(IMPORTS.map(([file]) => file))) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      const lines = IMPORTS.map(([of, specifier]) => (of === file ? write(specifier) : ""));
      writeFileSync(join(root, file), lines.join("\n"));
    }
    const { stdout, stderr } = spawnSync(BIOME, ["lint", "--max-diagnostics=none", "--reporter=github", "src"], {
      cwd: root,
      encoding: "utf8",
    });
    const found = [...stdout.matchAll(/^::error .*file=.*?\/(src\/[^,]+),line=(\d+),.*::(.*)$/gm)];
    const refused = found.map(([, file, line, message]) => [file, IMPORTS[Number(line) - 1]?.[1], message]);
    const expected = IMPORTS.filter(([, , message]) => message !== undefined);
    assert.deepEqual(refused.sort(), [...expected].sort(), `${stdout}${stderr}`);
  });
}

test("what is written by hand in the configuration is kept, and the rules are written once", () => {
  const byHand = { includes: ["src/**"], plugins: ["./x.grit"] };
  const config = { files: { includes: ["**"] }, overrides: [byHand] };
  const once = withLintRules(config, LAYERS);
  assert.deepEqual(once.overrides[0], byHand);
  assert.deepEqual(once.files, config.files);
  assert.equal(once.overrides.length, 1 + LAYERS.length + 1);
  assert.deepEqual(withLintRules(once, LAYERS), once);
  assert.equal(withLintRules(once, LAYERS.slice(1)).overrides.length, LAYERS.length + 1);
});
