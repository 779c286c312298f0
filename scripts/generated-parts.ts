/** Documents with generated parts: each lies between `<!-- generated:NAME -->` and `<!-- /generated -->`. */

/** What makes each part, by its name. */
export type Parts = Readonly<Record<string, () => string>>;

/**
 * The text of a document with its parts written anew.
 *
 * @param name the document's, for errors
 * @param command the program that makes the parts, for errors
 * @throws Error when the document lacks one of the parts, or has another one
 */
export function withParts(name: string, text: string, parts: Parts, command: string): string {
  const found = new Set<string>();
  const result = text.replace(
    /<!-- generated:([a-z-]+) -->\n[\s\S]*?<!-- \/generated -->/g,
    (_, part: string): string => {
      const render = parts[part];
      if (render === undefined) throw new Error(`${name} has a part "${part}" that ${command} does not know`);
      found.add(part);
      return `<!-- generated:${part} -->\n${render()}\n<!-- /generated -->`;
    },
  );
  for (const part of Object.keys(parts)) if (!found.has(part)) throw new Error(`${name} lacks its part "${part}"`);
  return result;
}

/** `head`: column titles separated by `|`; one that begins with `> ` is aligned to the right. */
export function table(head: string, rows: readonly (readonly string[])[]): string {
  const columns = head.split("|");
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map((title) => title.replace(/^> /, ""))),
    line(columns.map((title) => (title.startsWith("> ") ? "---:" : "---"))),
    ...rows.map((cells) => line(cells.map((cell) => cell.replaceAll("|", "\\|")))),
  ].join("\n");
}
