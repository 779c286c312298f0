/** Directed graphs: who imports whom, as nodes and their targets. */

export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

export function graphOf(arrows: Iterable<readonly [from: string, to: string]>): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [from, to] of arrows) {
    if (from === to) continue;
    for (const node of [from, to]) if (!graph.has(node)) graph.set(node, new Set());
    graph.get(from)?.add(to);
  }
  return graph;
}

/** One cycle for each group of nodes that reach each other, as the way round: `[a, b, a]`. */
export function cyclesOf(graph: Graph): string[][] {
  const cycles: string[][] = [];
  const grouped = new Set<string>();
  for (const node of graph.keys()) {
    if (grouped.has(node)) continue;
    const cycle = wayBack(graph, node);
    if (cycle === undefined) continue;
    cycles.push(cycle);
    const ahead = reachableFrom(graph, node);
    for (const other of ahead) if (reachableFrom(graph, other).has(node)) grouped.add(other);
  }
  return cycles;
}

/** Number of nodes on the longest way. Without cycles only. */
export function depthOf(graph: Graph): number {
  const depths = new Map<string, number>();
  const depth = (node: string): number => {
    const known = depths.get(node);
    if (known !== undefined) return known;
    const found = 1 + Math.max(0, ...[...(graph.get(node) ?? [])].map(depth));
    depths.set(node, found);
    return found;
  };
  return Math.max(0, ...[...graph.keys()].map(depth));
}

/** The shortest way from a node to itself, or `undefined`. */
function wayBack(graph: Graph, node: string): string[] | undefined {
  const ways: string[][] = [[node]];
  const seen = new Set<string>();
  for (const way of ways) {
    for (const target of graph.get(way.at(-1) ?? "") ?? []) {
      if (target === node) return [...way, node];
      if (seen.has(target)) continue;
      seen.add(target);
      ways.push([...way, target]);
    }
  }
  return undefined;
}

function reachableFrom(graph: Graph, node: string): Set<string> {
  const reached = new Set<string>();
  const waiting = [node];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const target of graph.get(next) ?? []) {
      if (reached.has(target)) continue;
      reached.add(target);
      waiting.push(target);
    }
  }
  return reached;
}
