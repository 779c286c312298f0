/** Guards the check itself: a rule that it does not find broken protects nothing. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { type TestContext } from "node:test";
import { checkSources } from "../../scripts/layers/check-sources.ts";
import type { Limits, ToBeSplit } from "../../scripts/layers/limits.ts";
import { type Layer, TOP } from "../../scripts/layers/table.ts";

const LAYERS: readonly Layer[] = [
  { name: "app", about: "", mayImport: ["house", "base"] },
  {
    name: "house",
    about: "",
    mayImport: ["base"],
    doors: ["index.ts", "gate/"],
    floors: [
      [{ name: TOP, about: "" }],
      [
        { name: "attic", about: "" },
        { name: "gate", about: "" },
      ],
      [{ name: "hall", about: "" }],
      [{ name: "hall/cellar", about: "", oneFileFor: "a barrel" }],
    ],
  },
  { name: "base", about: "", mayImport: [] },
];

/** What breaks no rule; each test adds to it. */
const FILES: Readonly<Record<string, string>> = {
  "src/app/app.ts":
    'import { house } from "../house/index.ts";\nexport { gate } from "../house/gate/gate.ts";\nhouse();\n',
  "src/house/index.ts": 'import { hall } from "./hall/hall.ts";\nexport const house = (): number => hall;\n',
  "src/house/attic/attic.ts": 'export type { Cellar } from "../hall/cellar/cellar.ts";\nexport interface Attic {}\n',
  "src/house/gate/gate.ts": "export const gate = 1;\n",
  "src/house/hall/hall.ts": 'import type { Cellar } from "./cellar/cellar.ts";\nexport const hall: Cellar = 1;\n',
  "src/house/hall/cellar/cellar.ts": "export type Cellar = number;\n",
  "src/base/base.ts": "export const base = 1;\n",
  // Tests may import what they like.
  "src/base/base.test.ts": 'import "../app/app.ts";\nimport "../house/attic/attic.ts";\n',
};

test("a tree that breaks no rule passes and is counted", (t) => {
  const { faults, summary } = check(t, {});
  assert.deepEqual(faults, []);
  assert.equal(
    summary,
    "3 layers, 5 rooms, 7 files, 4 floors, 5 arrows between rooms, 0 cycles, " +
      "0 arrows upwards, beside or past a door, " +
      "largest room house/attic (1 files), longest file src/app/app.ts (3 lines), " +
      "still to be split: 0 files, 0 rooms, 0 arrows",
  );
});

const WAYS: Readonly<Record<string, (specifier: string) => string>> = {
  "an import": (to) => `import "${to}";\n`,
  "an import over lines": (to) => `import {\n  type X,\n} from\n"${to}";\n`,
  "an import of types": (to) => `import type { X } from '${to}';\n`,
  "an export from": (to) => `export * from "${to}";\n`,
  "an export of types": (to) => `export type { X } from "${to}";\n`,
  "a dynamic import": (to) => `export const load = () => import("${to}");\n`,
  "a dynamic import with a template": (to) => `export const load = () => import(\`${to}\`);\n`,
  "a dynamic import behind a comment": (to) => `export const load = () => import(/* why */ "${to}");\n`,
  "an import as a type": (to) => `export type X = import("${to}").X;\n`,
  "an import of a module's type": (to) => `export type X = typeof import("${to}");\n`,
};
for (const [name, write] of Object.entries(WAYS)) {
  test(`${name} from a room above is named`, (t) => {
    const { faults } = check(t, { "src/house/hall/low.ts": `// first line\n${write("../attic/attic.ts")}` });
    const line = name === "an import over lines" ? 5 : 2;
    assert.deepEqual(faults, [
      `src/house/hall/low.ts:${line}: import of ../attic/attic.ts: ` +
        "house/attic is above house/hall; a room imports itself and rooms on lower floors, here house/hall/cellar",
    ]);
  });
}

test("what looks like an import in a comment, a string, a template or a pattern is none", (t) => {
  const text = [
    '// import "../attic/attic.ts";',
    '/* import "../attic/attic.ts"; */',
    `export const a = 'import "../attic/attic.ts"';`,
    'export const b = `import "../attic/attic.ts"; $' + '{1} import("../attic/attic.ts")`;',
    'export const c = /import "..\\/attic\\/attic.ts"/;',
    "",
  ].join("\n");
  assert.deepEqual(check(t, { "src/house/hall/low.ts": text }).faults, []);
});

const FORBIDDEN: readonly (readonly [rule: string, file: string, specifier: string, expected: string])[] = [
  ["a room beside", "src/house/attic/x.ts", "../gate/gate.ts", "house/gate is beside house/attic"],
  ["the files at the top", "src/house/hall/x.ts", "../index.ts", "house/ is above house/hall"],
  ["the room around a room", "src/house/hall/cellar/x.ts", "../hall.ts", "house/hall is above house/hall/cellar"],
  [
    "a room past the doors",
    "src/app/x.ts",
    "../house/hall/hall.ts",
    "other layers import of house only house/index.ts and house/gate/",
  ],
  ["a layer above", "src/house/x.ts", "../app/app.ts", "house may import base"],
  ["a layer, by the lowest", "src/base/x.ts", "../house/index.ts", "base may import nothing"],
  ["a test", "src/base/x.ts", "./base.test.ts", "there is no source file of this name in src"],
  ["a file outside of src", "src/base/x.ts", "../../test/x.ts", "there is no source file of this name in src"],
  [
    "the name that a file has when it is compiled",
    "src/base/x.ts",
    "./base.js",
    "there is no source file of this name in src",
  ],
];
for (const [rule, file, specifier, expected] of FORBIDDEN) {
  test(`an import of ${rule} is named`, (t) => {
    const { faults, summary } = check(t, { [file]: `import "${specifier}";\n`, "test/x.ts": "export {};\n" });
    assert.ok(
      faults.some((fault) => fault.startsWith(`${file}:1: import of ${specifier}: ${expected}`)),
      faults.join("\n"),
    );
    assert.match(summary, /, 1 arrows upwards, beside or past a door, /);
  });
}

test("a cycle of files is named once, also when only types go round or a part is loaded later", (t) => {
  const { faults, summary } = check(t, {
    "src/base/a.ts": 'export type { B } from "./b.ts";\nexport type A = 1;\n',
    "src/base/b.ts": 'export const load = () => import("./c.ts");\nexport type B = 1;\n',
    "src/base/c.ts": 'import type { A } from "./a.ts";\nexport const c: A = 1;\n',
  });
  assert.deepEqual(faults, ["cycle of files: src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts"]);
  assert.match(summary, /, unknown floors, .* 1 cycles, /);
});

test("each of two cycles is named, also when one leads to the other", (t) => {
  const { faults } = check(t, {
    "src/base/a.ts": 'import "./b.ts";\n',
    "src/base/b.ts": 'import "./a.ts";\nimport "./c.ts";\n',
    "src/base/c.ts": 'import "./d.ts";\n',
    "src/base/d.ts": 'import "./c.ts";\n',
  });
  assert.deepEqual(faults, [
    "cycle of files: src/base/a.ts -> src/base/b.ts -> src/base/a.ts",
    "cycle of files: src/base/c.ts -> src/base/d.ts -> src/base/c.ts",
  ]);
});

test("a cycle of rooms is named, also when no files go round", (t) => {
  const { faults } = check(t, {
    "src/house/hall/x.ts": 'import "../attic/y.ts";\n',
    "src/house/attic/y.ts": "export {};\n",
    "src/house/attic/z.ts": 'import "../hall/hall.ts";\n',
  });
  assert.equal(faults.length, 2);
  assert.ok(faults.includes("cycle of rooms: house/attic -> house/hall -> house/attic"), faults.join("\n"));
});

test("a file that no row of the table holds is named", (t) => {
  const stray = { "src/new/new.ts": "export {};\n", "src/house/shed/tool.ts": "export {};\n" };
  assert.deepEqual(check(t, stray).faults, [
    "src/house/shed/tool.ts: no room of the table of layers holds it",
    "src/new/new.ts: no room of the table of layers holds it",
  ]);
});

test("a row of the table without files, and one that allows an import from above, are named", (t) => {
  const layers = [...LAYERS, { name: "cave", about: "", mayImport: ["base"] }];
  assert.deepEqual(check(t, {}, { layers }).faults, [
    "table of layers: cave may import base, which is no row below it",
    "table of layers: cave has no file",
  ]);
});

test("a room with too many files is named; tests do not count, and a room of one kind may have more", (t) => {
  const hall = filesIn("src/house/hall", 3);
  assert.deepEqual(check(t, { ...hall, "src/house/hall/hall.test.ts": "" }).faults, [
    "house/hall: 4 files, and at most 3 are allowed",
  ]);
  assert.deepEqual(check(t, filesIn("src/house/hall/cellar", 3)).faults, []);
  assert.deepEqual(check(t, filesIn("src/house/hall/cellar", 5)).faults, [
    "house/hall/cellar: 6 files, and at most 5 are allowed",
  ]);
});

for (const folder of ["src/base", "test/deep", "bench", "scripts"]) {
  test(`a file of ${folder} with too many lines is named`, (t) => {
    const file = `${folder}/long.ts`;
    assert.deepEqual(check(t, { [file]: "\n".repeat(10) }).faults, []);
    assert.deepEqual(check(t, { [file]: "\n".repeat(11) }).faults, [`${file}: 11 lines, and at most 10 are allowed`]);
  });
}

test("tests and programs that are no TypeScript have the same limit of lines", (t) => {
  const long = {
    "src/base/base.test.ts": "\n".repeat(11),
    "test/a.mjs": "\n".repeat(12),
    "test/b.py": "\n".repeat(13),
  };
  assert.equal(check(t, long).faults.length, 3);
});

test("generated files and tables may be longer", (t) => {
  const limits = { generated: ["test/gen/", "src/base/made.ts"], tables: { "src/base/rows.ts": "rows" } };
  const long = ["test/gen/deep/x.ts", "src/base/made.ts", "src/base/rows.ts"];
  const files = Object.fromEntries(long.map((file) => [file, "\n".repeat(11)]));
  assert.deepEqual(check(t, files, { limits }).faults, []);
  assert.deepEqual(check(t, { ...files, "src/base/rows.ts": "\n" }, { limits }).faults, [
    "tables: src/base/rows.ts has only 1 lines; remove it from the list",
  ]);
  assert.deepEqual(check(t, { "src/base/made.ts": "" }, { limits }).faults, [
    "tables: there is no file src/base/rows.ts",
  ]);
});

test("what is still to be split may only shrink, and leaves the list when it has", (t) => {
  const limits = {
    toBeSplit: {
      files: { "src/base/long.ts": 12 },
      rooms: { "house/hall": 5 },
      imports: [["src/house/hall/hall-0.ts", "src/house/attic/attic.ts"]],
    } satisfies ToBeSplit,
  };
  const upwards = {
    "src/house/hall/hall-0.ts": 'import type { Attic } from "../attic/attic.ts";\nexport type X = Attic;\n',
  };
  const still = (lines: number, files: number) => ({
    "src/base/long.ts": "\n".repeat(lines),
    ...filesIn("src/house/hall", files - 1),
    ...upwards,
    // With what is tolerated it makes a cycle of rooms, which is tolerated, too.
    "src/house/attic/downwards.ts": 'import "../hall/hall.ts";\n',
  });
  const passing = check(t, still(12, 5), { limits });
  assert.deepEqual(passing.faults, []);
  assert.match(
    passing.summary,
    / 0 cycles, 0 arrows upwards, beside or past a door, .* still to be split: 1 files, 1 rooms, 1 arrows$/,
  );
  assert.deepEqual(check(t, still(13, 6), { limits }).faults, [
    "house/hall: 6 files, and at most 5 are allowed",
    "src/base/long.ts: 13 lines, and at most 12 are allowed",
  ]);
  assert.deepEqual(check(t, { ...still(10, 3), "src/house/hall/hall-0.ts": "export {};\n" }, { limits }).faults, [
    "toBeSplit.imports: src/house/hall/hall-0.ts to src/house/attic/attic.ts breaks no rule; remove it from the list",
    "toBeSplit.rooms: house/hall has only 3 files; remove it from the list",
    "toBeSplit.files: src/base/long.ts has only 10 lines; remove it from the list",
  ]);
  const gone = { toBeSplit: { files: { "src/gone.ts": 20 }, rooms: { "house/loft": 20 }, imports: [] } };
  assert.deepEqual(check(t, {}, { limits: gone }).faults, [
    "toBeSplit.rooms: there is no room house/loft",
    "toBeSplit.files: there is no file src/gone.ts",
  ]);
});

test("a source file that the compiler is not told of is refused", (t) => {
  assert.throws(() => check(t, { "src/base/other.mjs": "" }), /src\/base\/other\.mjs is no part of the project/);
});

interface Changes {
  readonly layers?: readonly Layer[];
  readonly limits?: Partial<Limits>;
}

/** Checks a tree of FILES and others, in a directory that goes with the test. */
function check(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  { layers = LAYERS, limits = {} }: Changes = {},
) {
  const root = mkdtempSync(join(tmpdir(), "layers-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const options = { module: "NodeNext", noLib: true, types: [], noEmit: true, allowImportingTsExtensions: true };
  const config = { compilerOptions: options, include: ["src"], exclude: ["src/**/*.test.ts"] };
  for (const [file, text] of Object.entries({ ...FILES, ...files, "tsconfig.json": JSON.stringify(config) })) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  return checkSources(root, layers, {
    linesPerFile: 10,
    filesPerRoom: 3,
    filesPerRoomOfOneKind: 5,
    generated: [],
    tables: {},
    toBeSplit: { files: {}, rooms: {}, imports: [] },
    ...limits,
  });
}

function filesIn(folder: string, count: number): Record<string, string> {
  const name = folder.slice(folder.lastIndexOf("/") + 1);
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`${folder}/${name}-${at}.ts`, "export {};\n"]));
}
