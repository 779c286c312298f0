/** The files of a checkout and what they import. Paths are relative to its root. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { StringLiteral } from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

export interface Import {
  readonly from: string;
  readonly line: number;
  /** As it is written. */
  readonly specifier: string;
  readonly to: string;
}

const CODE = /\.(?:[cm]?[jt]s|py)$/;

/** All files with program text below a folder, sorted. Without the folder there are none. */
export function filesBelow(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && CODE.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** Files of src that are no tests. */
export function sourceFiles(root: string): string[] {
  return filesBelow(root, "src").filter((file) => !/\.test\.[cm]?[jt]s$/.test(file));
}

/**
 * Imports of the files from one another, as the TypeScript compiler reads them: `import` and `export … from`, with `type` or
 * without, `import()` of a fixed name, and types such as `typeof import("./x.ts")`. Packages are left out. The compiler is a process
 * that is killed at the end; now and then it writes `context canceled` to stderr then, which is no fault.
 *
 * @throws Error when tsconfig.json of the checkout leaves a file out
 */
export function readImports(root: string, files: readonly string[]): Import[] {
  const api = new API({ cwd: root });
  try {
    const snapshot = api.updateSnapshot({ openProjects: [join(root, "tsconfig.json")] });
    const program = snapshot.getProjects()[0]?.program;
    return files.flatMap((from) => {
      const source = program?.getSourceFile(join(root, from));
      if (source === undefined) throw new Error(`${from} is no part of the project of tsconfig.json`);
      return source.imports
        .map((node) => ({ specifier: (node as StringLiteral).text, end: node.end }))
        .filter(({ specifier }) => specifier.startsWith("."))
        .map(({ specifier, end }) => ({
          from,
          line: source.text.slice(0, end).split("\n").length,
          specifier,
          to: join(dirname(from), specifier),
        }));
    });
  } finally {
    api.close();
  }
}
